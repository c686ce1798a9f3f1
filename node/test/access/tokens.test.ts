import assert from "node:assert/strict";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { describe, it } from "node:test";
import { inspect } from "node:util";

import { AccessError, Client, Code } from "conexiones";

import { address, client, folder, photograph } from "../support.js";
import { admin, adminToken, filed, names, token } from "./support.js";

const MISTYPED = { name: "AccessError", code: Code.UNAUTHENTICATED, reason: "TOKEN_MISTYPED" };

/** Every kind of call, each of which needs a credential. */
function calls(by: Client): Record<string, () => Promise<unknown>> {
  return {
    limits: () => by.limits(),
    upload: () => by.upload(photograph),
    download: () => by.download("none"),
    images: () => by.images().next(),
    watch: () => by.watch().next(),
    getUser: () => by.getUser({ name: "Ada" }),
    processImage: () => by.processImage(photograph),
    streamImage: () => by.streamImage(photograph),
    imageStream: () => by.imageStream([photograph]).next(),
    userStream: () => by.userStream([{ name: "Ada" }]).next(),
    tokens: () => by.tokens().next(),
    createTicket: () => by.createTicket(),
    imageLink: () => by.imageLink("none"),
  };
}

describe("a token", () => {
  it("goes with every kind of call", async () => {
    const { id } = await admin.upload(photograph);
    assert.deepEqual(await admin.download(id), new Uint8Array(photograph));
    assert.ok((await admin.getUser({ name: "Ada" })).user);
    for (const reply of [await admin.processImage(photograph), await admin.streamImage(photograph)]) assert.ok(reply.image);
    for await (const { image } of admin.imageStream([photograph])) assert.equal(image?.format, "JPEG");
    for await (const { user } of admin.userStream([{ name: "Ada" }])) assert.equal(user?.name, "Ada");
    assert.equal((await admin.images({ pageSize: 1 }).next()).done, false);
    await admin.delete(id);
  });

  it("is asked for by every kind of call, and none waits or tries again", async () => {
    for (const [name, call] of Object.entries(calls(client()))) {
      await assert.rejects(call(), { name: "AccessError", code: Code.UNAUTHENTICATED, reason: "NO_CREDENTIALS" }, name);
    }
  });

  it("without the scope is refused, and the error says which scope is missing", async () => {
    const reader = client({ token: (await token(["read"])).secret });
    for (const call of ["upload", "getUser", "processImage", "streamImage", "imageStream", "userStream", "createTicket"]) {
      const fault = { code: Code.PERMISSION_DENIED, reason: "SCOPE_MISSING", facts: { scope: "write" } };
      await assert.rejects(calls(reader)[call]?.() ?? Promise.resolve(), fault, call);
    }
    await assert.rejects(reader.delete("none"), { reason: "SCOPE_MISSING", facts: { scope: "delete" } });
    const error = await reader.createToken("other", ["read"]).catch((error: unknown) => error);
    assert.ok(error instanceof AccessError);
    assert.equal(error.facts["scope"], "admin");
    assert.equal((await reader.access())?.scopes.join(), "read");
  });

  it("that is mistyped is refused before anything is sent", async () => {
    const swapped = adminToken.replace(/^(cnx_.)(.*)(.)$/, "$1$3$2");
    const wrong = [adminToken.slice(0, -1), `${adminToken}0`, swapped, adminToken.replace("cnx_", "cnt_"), adminToken.slice(4)];
    for (const text of ["", " ", "secret", `Bearer ${adminToken}`, adminToken.toUpperCase(), `${adminToken}\n${adminToken}`, "ñ", ...wrong]) {
      assert.throws(() => new Client(address, { token: text }), MISTYPED, text);
      const path = join(await folder(), "token");
      await writeFile(path, text);
      assert.throws(() => new Client(address, { tokenFile: path }), MISTYPED, text);
    }
    const error = await Promise.resolve().then(() => new Client(address, { token: swapped })).catch((error: unknown) => error);
    assert.ok(!inspect(error).includes(swapped));
    // A JWT is not ours to check, and what surrounds a token in a file is no part of it.
    new Client(address, { token: "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln" }).close();
    await client({ token: `\n ${adminToken} \r\n` }).limits();
  });

  it("in a file is read when the client is made", async () => {
    assert.throws(() => new Client(address, { tokenFile: join("no", "such", "file") }), { code: "ENOENT" });
    assert.throws(() => new Client(address, { token: adminToken, tokenFile: "token" }), TypeError);
    assert.throws(() => new Client(address, { token: 7 as never }), { reason: "INVALID_FIELD", field: "token" });
    assert.throws(() => new Client(address, { insecureToken: "yes" as never }), { field: "insecureToken" });
  });

  it("is not shown by anything that prints or keeps the client, an error or a new token", async () => {
    const { secret } = await token(["read"]);
    const quiet = client({ token: secret });
    const shown = (value: unknown) => inspect(value, { depth: Infinity, showHidden: true }) + JSON.stringify(value);
    const errors = await Promise.all([quiet.delete("x"), quiet.image("x"), quiet.upload(photograph)].map((call) => call.catch((error: unknown) => error)));
    for (const value of [quiet, ...errors]) assert.ok(!shown(value).includes(secret.slice(4)), inspect(value));
    const [made, ticket] = [await token(["read"]), await admin.createTicket()];
    for (const value of [made, ticket, [made], { ticket }]) assert.doesNotMatch(inspect(value, { depth: 9 }), /cn[xt]_/);
    assert.equal((JSON.parse(JSON.stringify(ticket)) as { secret: string }).secret, ticket.secret);
    assert.match(made.secret, /^cnx_\w{49}$/);
  });
});

describe("a token without TLS", () => {
  it("goes to this machine only, unless told otherwise", () => {
    const port = address.split(":")[1] ?? "";
    const near = ["localhost", "LOCALHOST", "127.0.0.1", "127.8.9.1", "[::1]", "[0:0::1]", "[::ffff:127.0.0.1]"].map((host) => `${host}:${port}`);
    for (const place of [...near, "unix:/run/conexiones.sock", "dns:localhost:1", "dns:///127.0.0.1:1", "ipv4:127.0.0.1:1,127.0.0.2:2", "ipv6:[::1]:1"]) {
      new Client(place, { token: adminToken }).close();
    }
    const far = ["images.example", "10.0.0.1", "0.0.0.0", "[::]", "128.0.0.1", "[fe80::1]", "[::ffff:10.0.0.1]", "dns", "127.1"].map((host) => `${host}:50051`);
    const disguised = ["localhost.example:1", "127.0.0.1.example:1", "localhost.:1", "xlocalhost:1", "2130706433:1"];
    const resolved = ["dns:images.example:1", "dns://10.0.0.1/localhost:1", "ipv4:127.0.0.1:1,10.0.0.1:1", "ipv6:[fe80::1]:1", "xds:///localhost:1", "dns:localhost"];
    for (const place of [...far, ...disguised, ...resolved]) {
      const words = "without encryption, where others can read it: turn TLS on, or set insecureToken.";
      const fault = { reason: "INVALID_FIELD", field: "token", message: `The token would go to ${place} ${words}` };
      assert.throws(() => new Client(place, { token: adminToken }), fault, place);
      assert.throws(() => Client.fromEnviron({ address: place }, { CONEXIONES_TOKEN: adminToken }), fault, place);
      for (const safe of [{ tls: true }, { insecureToken: true }]) new Client(place, { token: adminToken, ...safe }).close();
      new Client(place).close();
    }
  });

  it("does not go through a proxy", async () => {
    let connections = 0;
    const proxy = createServer((socket) => {
      connections += 1;
      socket.destroy();
    });
    await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
    process.env["grpc_proxy"] = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
    try {
      const near = new Client(address, { token: adminToken });
      await near.limits();
      near.close();
    } finally {
      delete process.env["grpc_proxy"];
      proxy.close();
    }
    assert.equal(connections, 0);
  });
});

describe("the token of a client", () => {
  const subject = async (made: Client) => {
    try {
      return (await made.access())?.subject;
    } finally {
      made.close();
    }
  };

  it("comes from the options, the environment, a file that this names, or a login, in this order", async () => {
    const home = await folder();
    const [first, second, third, fourth] = [names(), names(), names(), names()];
    const secret = async (name: string) => (await token(["read"], { name })).secret;
    const environ: NodeJS.ProcessEnv = { CONEXIONES_ADDRESS: address, HOME: home };
    const made = (options = {}) => subject(Client.fromEnviron(options, environ));
    await assert.rejects(made(), { reason: "NO_CREDENTIALS" });
    const kept = join(home, ".config", "conexiones", "tokens");
    await mkdir(kept, { recursive: true });
    await writeFile(join(kept, address), `${await secret(fourth)}\n`);
    assert.equal(await made(), `token:${fourth}`);
    environ["XDG_CONFIG_HOME"] = await folder();
    await assert.rejects(made(), { reason: "NO_CREDENTIALS" });
    environ["CONEXIONES_TOKEN_FILE"] = join(home, "token");
    await writeFile(join(home, "token"), await secret(third));
    assert.equal(await made(), `token:${third}`);
    environ["CONEXIONES_TOKEN"] = await secret(second);
    assert.equal(await made(), `token:${second}`);
    assert.equal(await made({ tokenFile: join(home, "token") }), `token:${third}`);
    assert.equal(await made({ token: await secret(first) }), `token:${first}`);
    // What is in the environment is for clients from the environment.
    await assert.rejects(subject(new Client(address)), { reason: "NO_CREDENTIALS" });
  });

  it("is read from its file again when the server does not take it any more", async () => {
    const file = await filed(["read", "write"]);
    const made = file.client;
    for (const [name, call] of Object.entries(calls(made))) {
      if (["tokens", "download", "watch", "imageLink", "imageStream", "userStream"].includes(name)) continue;
      await call();
      await file.rotate();
      await assert.doesNotReject(call(), name);
    }
    // What was sent on these streams cannot be sent again; the next one has the new token.
    await file.rotate();
    await assert.rejects(made.imageStream([photograph]).next(), { reason: "TOKEN_REVOKED" });
    assert.ok((await made.imageStream([photograph]).next()).value);
    await file.revoke();
    await assert.rejects(made.limits(), { reason: "TOKEN_REVOKED" });
    await writeFile(file.path, "no token");
    await assert.rejects(made.limits(), { reason: "TOKEN_REVOKED" });
    assert.equal(await readFile(file.path, "utf8"), "no token");
  });
});
