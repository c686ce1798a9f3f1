// The options of a client that its environment has, and the tokens that `conexiones login` keeps.
import { statSync } from "node:fs";
import { join } from "node:path";

import { ADDRESS, hostAndPort, several } from "./address.js";
import type { ClientOptions } from "./client.js";

type Environ = NodeJS.ProcessEnv;

/** Throws RangeError for a timeout that is no number of seconds. */
export function optionsFrom(environ: Environ): ClientOptions {
  const seconds = environ["CONEXIONES_TIMEOUT"];
  if (seconds && !(Number(seconds) > 0)) throw new RangeError("CONEXIONES_TIMEOUT is a number of seconds.");
  return {
    address: environ["CONEXIONES_ADDRESS"] || ADDRESS,
    tls: isTrue(environ["CONEXIONES_TLS"]),
    ca: environ["CONEXIONES_CA"] || undefined,
    cert: environ["CONEXIONES_CERT"] || undefined,
    key: environ["CONEXIONES_KEY"] || undefined,
    insecureToken: isTrue(environ["CONEXIONES_INSECURE_TOKEN"]),
    timeoutMs: seconds ? Number(seconds) * 1000 : undefined,
  };
}

/** The token of the environment, or else the one that is kept for the server; empty if there is none. */
export function tokenFrom(environ: Environ, address: string): { token?: string; tokenFile?: string } {
  const { CONEXIONES_TOKEN: token, CONEXIONES_TOKEN_FILE: file } = environ;
  if (token) return { token };
  if (file) return { tokenFile: file };
  const kept = keptFor(environ, address);
  return kept !== undefined && statSync(kept, { throwIfNoEntry: false })?.isFile() ? { tokenFile: kept } : {};
}

/** Where `conexiones login` keeps the token of a server; undefined if there is no such place. */
function keptFor(environ: Environ, address: string): string | undefined {
  const { XDG_CONFIG_HOME: config = "", HOME: home = "" } = environ;
  const folder = config.startsWith("/") ? config : home && join(home, ".config");
  const names = several(address).map((one) => {
    const place = hostAndPort(one);
    return place && `${place.host.includes(":") ? `[${place.host}]` : place.host}:${place.port}`;
  });
  if (!folder || names.includes(undefined)) return undefined;
  return join(folder, "conexiones", "tokens", quoted(names.join(",").toLowerCase()));
}

/** As Python's urllib.parse.quote(text, safe="[]:,") does it. */
function quoted(text: string): string {
  const escaped = encodeURIComponent(text).replace(/%(?:5B|5D|3A|2C)/g, decodeURIComponent);
  return escaped.replace(/[!'()*]/g, (mark) => `%${mark.charCodeAt(0).toString(16).toUpperCase()}`);
}

function isTrue(value: string | undefined): boolean {
  return ["1", "true", "yes", "on"].includes(value?.toLowerCase() ?? "");
}
