// The checks of what callers pass. A value that makes no sense is refused before anything is sent, as INVALID_FIELD with
// the name of its field, as the server would refuse it.
import { types } from "node:util";

import { create } from "@bufbuild/protobuf";

import { Code, makeError } from "./errors.js";
import { BadRequestSchema, LocalizedMessageSchema } from "./gen/google/rpc/error_details_pb.js";

/** What a field takes, in English and in Spanish. */
export type Takes = readonly [english: string, spanish: string];

/** Throws INVALID_FIELD if the field cannot have this value. */
export type Check = (field: string, value: unknown) => void;

/** A check for every option, so that none is forgotten. */
export type Checks<T> = { readonly [Name in keyof Required<T>]: Check };

export const LARGEST_INT32 = 2 ** 31 - 1;

/** Text that UTF-8 can hold: half of a surrogate pair would arrive as another character. */
export const text = kind(
  (value) => typeof value === "string" && !/\p{Cs}/u.test(value),
  ["text of whole characters", "un texto de caracteres completos"],
);
export const flag = kind((value) => typeof value === "boolean", ["true or false", "true o false"]);
export const listener = kind((value) => typeof value === "function", ["a function", "una función"]);
export const bytes = kind(types.isUint8Array, ["bytes, as a Uint8Array", "bytes, en un Uint8Array"]);
export const options = kind((value) => typeof value === "object" && value !== null, ["an object", "un objeto"]);
export const milliseconds = kind(
  (value) => typeof value === "number" && value > 0,
  ["a number of milliseconds above 0", "un número de milisegundos mayor que 0"],
);
/** What a Duration of protobuf can carry, about 10,000 years. */
const LONGEST_MS = 3e14;
export const duration = kind(
  (value) => typeof value === "number" && value > 0 && value <= LONGEST_MS,
  [`a number of milliseconds above 0, at most ${LONGEST_MS}`, `un número de milisegundos mayor que 0, ${LONGEST_MS} como máximo`],
);
export const texts = kind(
  (value) => Array.isArray(value) && value.every((one) => typeof one === "string"),
  ["an array of texts", "un array de textos"],
);
export const date = kind((value) => types.isDate(value) && !Number.isNaN(value.getTime()), ["a valid Date", "un Date válido"]);
export const signal = kind(
  (value) => typeof value === "object" && value !== null && "aborted" in value && "addEventListener" in value,
  ["an AbortSignal", "un AbortSignal"],
);
export const pem = kind(
  (value) => typeof value === "string" || types.isUint8Array(value),
  ["PEM, or the path of a PEM file", "PEM, o la ruta de un archivo PEM"],
);
/** A SHA-256, as bytes or in hexadecimal. */
export const digest = kind(
  (value) => (typeof value === "string" ? /^[0-9a-f]{64}$/i.test(value) : types.isUint8Array(value) && value.length === 32),
  ["a SHA-256 of 32 bytes or 64 hexadecimal digits", "un SHA-256 de 32 bytes o 64 dígitos hexadecimales"],
);
export const int32 = whole(-LARGEST_INT32 - 1, LARGEST_INT32);

export function whole(least: number, most = Number.MAX_SAFE_INTEGER): Check {
  return kind(
    (value) => Number.isInteger(value) && Number(value) >= least && Number(value) <= most,
    [`a whole number from ${least} to ${most}`, `un número entero de ${least} a ${most}`],
  );
}

/** Checks every option that is given. The errors name the field with `prefix` before it. */
export function check<T extends object>(given: T, checks: Checks<T>, what = "options", prefix = ""): void {
  options(what, given);
  for (const [field, one] of Object.entries<Check>(checks)) {
    const value = (given as Record<string, unknown>)[field];
    if (value !== undefined) one(`${prefix}${field}`, value);
  }
}

export function invalid(field: string, [english, spanish]: Takes): Error {
  return refused(field, [`\`${field}\` takes ${english}.`, `\`${field}\` admite ${spanish}.`], { takes: english });
}

/** INVALID_FIELD with a sentence of its own. */
export function refused(field: string, [message, mensaje]: Takes, facts: Record<string, string> = {}): Error {
  const details = [
    create(BadRequestSchema, { fieldViolations: [{ field, description: message, reason: "INVALID_FIELD" }] }),
    create(LocalizedMessageSchema, { locale: "es", message: mensaje }),
  ];
  return makeError({ code: Code.INVALID_ARGUMENT, reason: "INVALID_FIELD", message, facts, details });
}

function kind(fits: (value: unknown) => boolean, takes: Takes): Check {
  return (field, value) => {
    if (!fits(value)) throw invalid(field, takes);
  };
}
