// What the tests of access share: the administrator's client of a server that wants tokens.
import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";

import type { AccessScope, ClientOptions, NewToken, TokenOptions } from "conexiones";

import { client, data, folder } from "../support.js";

export const adminToken = readFileSync(join(data, "admin-token"), "utf8").trim();
export const admin = client({ token: adminToken });

/** A new token, with a name of its own unless one is given. */
export async function token(scopes: AccessScope[], { name = names(), ...options }: TokenOptions & { name?: string } = {}): Promise<NewToken> {
  return await admin.createToken(name, scopes, options);
}

let count = 0;

/** A name that no other test has. */
export function names(): string {
  return `test-${process.pid}-${(count += 1)}`;
}

/** A token in a file, a client that takes it from there, and ways to replace the token. */
export async function filed(scopes: AccessScope[], options: ClientOptions = {}) {
  const name = names();
  const path = join(await folder(), "token");
  let current = await token(scopes, { name });
  await writeFile(path, `${current.secret}\n`);
  return {
    path,
    client: client({ tokenFile: path, ...options }),
    /** Puts a new token into the file, and then revokes the one that was there. */
    async rotate(): Promise<NewToken> {
      const old = current;
      current = await token(scopes, { name });
      await writeFile(path, `${current.secret}\n`);
      await admin.revokeToken(old.token.id);
      return current;
    },
    async revoke(): Promise<void> {
      await admin.revokeToken(current.token.id);
    },
  };
}
