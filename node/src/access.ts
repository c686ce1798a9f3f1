// Who may do what: tokens, tickets, quotas, and the caller as the server knows it, as plain objects.
import { inspect } from "node:util";

import type { MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import type { Duration, Timestamp } from "@bufbuild/protobuf/wkt";

import { check, invalid, options, whole } from "./fields.js";
import type { Check, Checks } from "./fields.js";
import { Scope as ScopeNumber } from "./gen/conexiones/v1/access_pb.js";
import type {
  Access as AccessMessage,
  Quota as QuotaMessage,
  QuotaSchema,
  Token as TokenMessage,
} from "./gen/conexiones/v1/access_pb.js";
import type { CreateTicketResponse } from "./gen/conexiones/v1/uploads_pb.js";
import { date } from "./images.js";

/** What a caller may do: see and download, store, delete images, manage tokens. */
export type AccessScope = keyof typeof SCOPES;

/**
 * How much an owner may have, and how much a caller may do in a second. What is undefined has no limit; in a request, it
 * has the server's default.
 */
export interface Quota {
  /** The bytes of all images. Each counts whole, even if others have the same bytes. */
  storedBytes?: number | undefined;
  storedImages?: number | undefined;
  openUploads?: number | undefined;
  callsPerSecond?: number | undefined;
  /** Of requests and replies together. */
  bytesPerSecond?: number | undefined;
}

/** What an owner has. */
export interface Usage {
  storedBytes: number;
  storedImages: number;
  openUploads: number;
}

/** The caller, as the server knows it. */
export interface Access {
  /** Such as "token:backend"; "" for a caller who has shown no credential. */
  subject: string;
  scopes: AccessScope[];
  /** Whether the caller sees only what belongs to it. */
  own: boolean;
  /** To whom belongs what the caller stores; "" for nobody. */
  owner: string;
  /** When the credential expires; undefined if it does not. */
  expireTime: Date | undefined;
  quota: Quota;
  usage: Usage;
}

/** A token, without its secret. */
export interface Token {
  id: string;
  name: string;
  scopes: AccessScope[];
  own: boolean;
  /** To whom belongs what is stored with it; the same for all tokens of one name. */
  owner: string;
  createTime: Date;
  expireTime: Date | undefined;
  revokeTime: Date | undefined;
  /** The hour in which it was used last. */
  useTime: Date | undefined;
  quota: Quota;
}

/** A token that was just made. Nobody has its secret again, not even the server. Printing the object does not show it. */
export interface NewToken {
  token: Token;
  secret: string;
}

/**
 * A short-lived credential with which somebody else may store images. `id` is for revokeToken(). Printing the object
 * does not show the secret; its JSON has it, for the browser.
 */
export interface Ticket {
  id: string;
  secret: string;
  expireTime: Date;
}

const SCOPES = {
  read: ScopeNumber.READ,
  write: ScopeNumber.WRITE,
  delete: ScopeNumber.DELETE,
  admin: ScopeNumber.ADMIN,
} as const;

const QUOTA: Checks<Quota> = {
  ...{ storedBytes: whole(0), storedImages: whole(0), openUploads: whole(0), callsPerSecond: amount, bytesPerSecond: amount },
};

/** Throws INVALID_FIELD for scopes that there are not. */
export const scopes: Check = (field, value) => {
  const names = Object.keys(SCOPES);
  if (!Array.isArray(value) || !value.length || !value.every((one) => names.includes(one as string))) {
    const list = names.join(", ");
    throw invalid(field, [`an array of any of ${list}, at least one`, `un array de al menos uno de estos: ${list}`]);
  }
};

export const quota: Check = (field, value) => {
  options(field, value);
  check(value as Quota, QUOTA, field, `${field}.`);
};

function amount(field: string, value: unknown): void {
  if (!(Number.isFinite(value) && Number(value) >= 0)) throw invalid(field, ["a number from 0", "un número desde 0"]);
}

export function scopeNumbers(names: readonly AccessScope[]): ScopeNumber[] {
  return names.map((name) => SCOPES[name]);
}

export function quotaRequest(wanted: Quota): MessageInitShape<typeof QuotaSchema> {
  const { storedBytes, storedImages, openUploads, callsPerSecond, bytesPerSecond } = wanted;
  return {
    ...(storedBytes !== undefined && { storedBytes: BigInt(storedBytes) }),
    ...(storedImages !== undefined && { storedImages: BigInt(storedImages) }),
    ...(openUploads !== undefined && { openUploads: BigInt(openUploads) }),
    ...(callsPerSecond !== undefined && { callsPerSecond }),
    ...(bytesPerSecond !== undefined && { bytesPerSecond }),
  };
}

/** How long something lasts; the server decides if that is undefined. */
export function ttl(expiresMs: number | undefined): { ttl?: Duration } {
  return expiresMs === undefined ? {} : { ttl: durationFromMs(Math.ceil(expiresMs)) };
}

export function access({ subject, scopes: found, own, owner, expireTime, quota: limits, usage }: AccessMessage): Access {
  return {
    ...{ subject, scopes: scopeNames(found), own, owner, expireTime: optional(expireTime), quota: quotaOf(limits) },
    usage: {
      storedBytes: Number(usage?.storedBytes ?? 0),
      storedImages: Number(usage?.storedImages ?? 0),
      openUploads: Number(usage?.openUploads ?? 0),
    },
  };
}

export function token(message: TokenMessage | undefined): Token {
  if (!message) throw new TypeError("The server sent a reply without its token.");
  const { id, name, scopes: found, own, owner, createTime, expireTime, revokeTime, useTime, quota: limits } = message;
  return {
    ...{ id, name, scopes: scopeNames(found), own, owner, createTime: date(createTime) },
    ...{ expireTime: optional(expireTime), revokeTime: optional(revokeTime), useTime: optional(useTime), quota: quotaOf(limits) },
  };
}

export function newToken(message: TokenMessage | undefined, secret: string): NewToken {
  return unprinted({ token: token(message), secret });
}

export function ticket({ id, secret, expireTime }: CreateTicketResponse): Ticket {
  return unprinted({ id, secret, expireTime: date(expireTime) });
}

/** The same object, whose secret console.log() does not print. */
function unprinted<T extends { secret: string }>(made: T): T {
  return Object.defineProperty(made, inspect.custom, { value: () => ({ ...made, secret: "(secret)" }) });
}

/** A scope that this version does not know is left out. */
function scopeNames(numbers: readonly ScopeNumber[]): AccessScope[] {
  return (Object.keys(SCOPES) as AccessScope[]).filter((name) => numbers.includes(SCOPES[name]));
}

function quotaOf(message: QuotaMessage | undefined): Quota {
  const number = (value: bigint | number | undefined) => (value === undefined ? undefined : Number(value));
  return {
    storedBytes: number(message?.storedBytes),
    storedImages: number(message?.storedImages),
    openUploads: number(message?.openUploads),
    callsPerSecond: number(message?.callsPerSecond),
    bytesPerSecond: number(message?.bytesPerSecond),
  };
}

function optional(timestamp: Timestamp | undefined): Date | undefined {
  return timestamp && date(timestamp);
}
