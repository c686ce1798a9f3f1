// The addresses of servers: HOST:PORT, as the command line and the Python SDK take it, several of them with commas between
// them, or a name that grpc-js resolves.
import { BlockList, isIP, isIPv6 } from "node:net";

import { invalid } from "./fields.js";

/** The server that is meant where none is named. */
export const ADDRESS = "localhost:50051";

/** The schemes of names that grpc-js resolves itself, such as unix:/run/conexiones.sock. */
const RESOLVED = /^(?:dns|ipv4|ipv6|unix|unix-abstract|xds):(?!\d+$)/;
const URL = /^([a-z][a-z0-9+.-]*):\/\/(?:[^/?#]*@)?([^/?#]*)/i;
const EXAMPLE = ADDRESS;

/** What is wrong with an address, in English and in Spanish, and what may be meant. */
type Fault = readonly [english: string, spanish: string, example: string];

/** Throws INVALID_FIELD with a sentence that says what to write instead. */
export function checkAddress(field: string, value: unknown): void {
  const none = ["it is no text", "no es un texto", EXAMPLE] as const;
  const fault = typeof value === "string" ? several(value).map(faultOf).find(Boolean) : none;
  if (!fault) return;
  const [english, spanish, example] = fault;
  throw invalid(field, [`HOST:PORT, such as ${example}: ${english}`, `HOST:PUERTO, como ${example}: ${spanish}`]);
}

/** The addresses of a text, as they are written. */
export function several(address: string): string[] {
  return RESOLVED.test(address) ? [address] : address.split(",");
}

function faultOf(address: string): Fault | undefined {
  if (RESOLVED.test(address)) return undefined;
  if (address.trim() === "") return ["it is empty", "está vacío", EXAMPLE];
  const url = URL.exec(address.trim());
  if (url) return faultOfUrl(address, url[1] ?? "", url[2] ?? "");
  if (isIPv6(address)) return [...NO_BRACKETS, `[${address}]:50051`];
  const parts = /^(\[.*\]|[^\s:/?#@,[\]]*)(?::([^:]*))?$/.exec(address);
  if (!parts) return address.split(":").length > 2 ? [...NO_BRACKETS, "[::1]:50051"] : form(address);
  const [, host = "", port = ""] = parts;
  if (host.startsWith("[") && !isIPv6(host.slice(1, -1))) return [...NO_BRACKETS, "[::1]:50051"];
  return faultOfParts(address, host, port);
}

function faultOfParts(address: string, host: string, port: string): Fault | undefined {
  if (host === "" || (port === "" && /^\d+$/.test(host))) return [`${address} has no host`, `en ${address} falta el host`, EXAMPLE];
  if (port === "") return [`${address} has no port`, `en ${address} falta el puerto`, `${host.replace(/:$/, "")}:50051`];
  if (!/^\d+$/.test(port)) return form(address);
  if (Number(port) >= 1 && Number(port) <= 65_535) return undefined;
  return [`ports are 1 to 65535, not ${port}`, `los puertos son de 1 a 65535, no ${port}`, `${host}:50051`];
}

function faultOfUrl(address: string, scheme: string, place: string): Fault {
  const example = place === "" ? EXAMPLE : /:\d+$/.test(place) ? place : `${place}:50051`;
  const encrypted = ["https", "grpcs"].includes(scheme.toLowerCase());
  const [english, spanish] = encrypted ? ["; for TLS, set tls: true", "; para TLS, ponga tls: true"] : ["", ""];
  return [`${address} is a URL${english}`, `${address} es una URL${spanish}`, example];
}

function form(address: string): Fault {
  return [`${address} has another form`, `${address} tiene otra forma`, EXAMPLE];
}

const NO_BRACKETS = ["an IPv6 address needs brackets", "una dirección IPv6 lleva corchetes"] as const;

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet("127.0.0.0", 8, "ipv4");
LOOPBACK.addAddress("::1", "ipv6");

/**
 * Whether what is sent to the address does not leave this machine, whatever a name server says. Of names only
 * "localhost" is sure to stay.
 */
export function staysHere(address: string): boolean {
  if (/^unix(?:-abstract)?:/.test(address)) return true;
  const ips = /^ipv[46]:(.*)$/.exec(address);
  const places = ips ? (ips[1] ?? "").split(",").map(placeOf) : several(address).map(hostAndPort);
  return places.every((place) => place !== undefined && isLoopback(place.host));
}

/** Host and port of HOST:PORT, and of a name for DNS; undefined for other names. An IPv6 address has no brackets. */
export function hostAndPort(address: string): { host: string; port: number } | undefined {
  const bare = RESOLVED.test(address) ? /^dns:(?:\/\/\/)?([^/]*)$/.exec(address)?.[1] : address;
  return bare === undefined ? undefined : placeOf(bare);
}

function placeOf(text: string): { host: string; port: number } | undefined {
  const found = /^(?:\[([^\]]*)\]|([^:]*)):(\d+)$/.exec(text);
  return found ? { host: found[1] ?? found[2] ?? "", port: Number(found[3]) } : undefined;
}

function isLoopback(host: string): boolean {
  const version = isIP(host);
  return version === 0 ? host.toLowerCase() === "localhost" : LOOPBACK.check(host, version === 4 ? "ipv4" : "ipv6");
}
