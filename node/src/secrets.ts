// Tokens and tickets: their form, and objects that carry one without ever showing it.
//
// A secret of the server is a prefix, 256 random bits in base62, and the CRC-32 of all that in base62. So a mistyped one is
// told from a wrong one without asking the server.
import { closeSync, openSync, readSync } from "node:fs";
import { open } from "node:fs/promises";

import { create } from "@bufbuild/protobuf";
import { crc32 } from "@node-rs/crc32";

import { Code, makeError } from "./errors.js";
import { LocalizedMessageSchema } from "./gen/google/rpc/error_details_pb.js";

const DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const SECRET = /^(cn[xts]_[0-9A-Za-z]{43})([0-9A-Za-z]{6})$/;
const JWT = /^[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*){2}$/;

/** A file with more is no file with a token. */
const MOST_BYTES = 64 << 10;

/** A token, a ticket or a JWT, which nothing that prints or serialises objects can show. */
export class Secret {
  readonly #text: string;

  /** Throws TOKEN_MISTYPED for a text that no server would take for one. Spaces and newlines around it are left out. */
  constructor(text: string) {
    this.#text = text.trim();
    if (!isSecret(this.#text) && !JWT.test(this.#text)) throw mistyped();
  }

  /** The text, to be sent and for nothing else. */
  reveal(): string {
    return this.#text;
  }

  equals(other: Secret | undefined): boolean {
    return other?.reveal() === this.#text;
  }
}

/** The token in a file that has nothing else in it. Blocks. Throws the error of the file system, and TOKEN_MISTYPED. */
export function readSecretNow(path: string): Secret {
  const buffer = Buffer.alloc(MOST_BYTES);
  const descriptor = openSync(path, "r");
  try {
    return new Secret(buffer.toString("latin1", 0, readSync(descriptor, buffer)));
  } finally {
    closeSync(descriptor);
  }
}

/** The same without blocking. */
export async function readSecret(path: string): Promise<Secret> {
  const handle = await open(path);
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(MOST_BYTES));
    return new Secret(buffer.toString("latin1", 0, bytesRead));
  } finally {
    await handle.close();
  }
}

/** Whether the text has the form of a token, ticket or session, and its checksum is right. */
function isSecret(text: string): boolean {
  const [, before = "", checksum] = SECRET.exec(text) ?? [];
  return checksum === base62(crc32(before));
}

/** A 32-bit number as six digits. */
function base62(number: number): string {
  let text = "";
  for (; text.length < 6; number = Math.floor(number / DIGITS.length)) text = DIGITS.charAt(number % DIGITS.length) + text;
  return text;
}

function mistyped(): Error {
  const message = "This is not a whole token: a character is wrong or missing.";
  const spanish = "Esto no es un token completo: hay un carácter equivocado o falta alguno.";
  const details = [create(LocalizedMessageSchema, { locale: "es", message: spanish })];
  return makeError({ code: Code.UNAUTHENTICATED, reason: "TOKEN_MISTYPED", message, details });
}
