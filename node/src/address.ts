// The address of a server: HOST:PORT, as the command line and the Python SDK take it, or a name that gRPC resolves.
import { invalid } from "./fields.js";
import type { Takes } from "./fields.js";

const HOST_AND_PORT = /^(?:\[[0-9a-f:.]+(?:%\w+)?\]|[^\s:/?#@[\]]+):(\d+)$/i;
/** The schemes of names that grpc-js resolves itself, such as unix:/run/conexiones.sock. */
const RESOLVED = /^(?:dns|ipv4|ipv6|unix|unix-abstract|xds):(?!\d+$)/;
const FORM: Takes = ["HOST:PORT, such as localhost:50051", "HOST:PUERTO, como localhost:50051"];

/** Throws INVALID_FIELD with a sentence that says what to write instead. */
export function checkAddress(field: string, value: unknown): void {
  if (typeof value !== "string") throw invalid(field, FORM);
  if (RESOLVED.test(value)) return;
  const scheme = /^[a-z][a-z0-9+.-]*:\/\//i.exec(value)?.[0];
  if (scheme) throw refused(field, `leave out ${scheme}${tls(scheme)[0]}`, `quite ${scheme}${tls(scheme)[1]}`);
  const port = HOST_AND_PORT.exec(value)?.[1];
  if (port === undefined) {
    const bare = /^[^\s:/?#@[\]]+$|^\[[0-9a-f:.]+\]$/i.test(value);
    throw bare ? refused(field, `the port is missing in ${value}`, `falta el puerto en ${value}`) : invalid(field, FORM);
  }
  if (Number(port) < 1 || Number(port) > 65_535) {
    throw refused(field, `a port is a number from 1 to 65535, not ${port}`, `un puerto es un número de 1 a 65535, no ${port}`);
  }
}

function refused(field: string, english: string, spanish: string): Error {
  return invalid(field, [`${FORM[0]}: ${english}`, `${FORM[1]}: ${spanish}`]);
}

function tls(scheme: string): Takes {
  return scheme.toLowerCase() === "https://" ? [", and set tls: true", " y ponga tls: true"] : ["", ""];
}
