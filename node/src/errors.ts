// The errors of the server, rebuilt from the details that travel with a gRPC status.
//
// ConexionesError
// ├── AccessError       the server does not know who calls, or the caller may not do this; `reason` says which
// ├── ImageError        the image was refused; `reason` says why
// ├── NotFoundError     there is no image, upload or token with this id
// └── UnavailableError  the server did not answer, or cannot serve the call now: retrying later may help
//     └── UnreachableError  no server has ever answered at the address; the facts are `address` and `why`
//
// Programs should decide by `reason`, which never changes (docs/errors.md lists all reasons). It is empty if the
// error is not the server's: the connection was lost, or a proxy answered.
import { create, fromBinary, toJson } from "@bufbuild/protobuf";
import type { GenMessage } from "@bufbuild/protobuf/codegenv2";
import type { Any } from "@bufbuild/protobuf/wkt";
import { status as Code, Metadata } from "@grpc/grpc-js";
import type { ServiceError } from "@grpc/grpc-js";

import * as v1 from "./gen/conexiones/v1/errors_pb.js";
import * as rpc from "./gen/google/rpc/error_details_pb.js";
import { StatusSchema } from "./gen/google/rpc/status_pb.js";
import type { Why } from "./reasons.js";

export { Code };

export const REASONS = [
  "EMPTY_NAME",
  "NAME_TOO_LONG",
  "INVALID_UTF8",
  "MALFORMED_MESSAGE",
  "MALFORMED_REQUEST",
  "INVALID_FIELD",
  "SIZE_EXCEEDED",
  "EMPTY_IMAGE",
  "EMPTY_STREAM",
  "NOT_AN_IMAGE",
  "UNSUPPORTED_FORMAT",
  "CORRUPT_IMAGE",
  "TRUNCATED_IMAGE",
  "IMAGE_TOO_LARGE",
  "IMAGE_NOT_SMALL",
  "TOO_MANY_PIXELS",
  "UNKNOWN_SERVICE",
  "IMAGE_NOT_FOUND",
  "IMAGE_DELETED",
  "UPLOAD_NOT_FOUND",
  "TOKEN_NOT_FOUND",
  "REQUEST_ID_REUSED",
  "OFFSET_MISMATCH",
  "WRITER_FENCED",
  "ETAG_MISMATCH",
  "POW_OVERFLOW",
  "OFFSET_OUT_OF_RANGE",
  "NO_PREVIEW",
  "NO_RENDITION",
  "UPLOAD_ENDED",
  "UPLOAD_INCOMPLETE",
  "MESSAGE_TOO_LARGE",
  "TOO_MANY_UPLOADS",
  "UPLOAD_BYTES_EXCEEDED",
  "STORAGE_FULL",
  "QUOTA_EXCEEDED",
  "TICKET_USED_UP",
  "RATE_EXCEEDED",
  "SERVER_DRAINING",
  "SERVER_BUSY",
  "STREAM_IDLE",
  "STORAGE_UNAVAILABLE",
  "CANCELLED",
  "DEADLINE_EXCEEDED",
  "CLIENT_STALLED",
  "UNKNOWN_METHOD",
  "NOT_ONE_MESSAGE",
  "UNKNOWN_COMPRESSION",
  "UNKNOWN_HOST",
  "UNKNOWN_ORIGIN",
  "SCOPE_MISSING",
  "FORMAT_NOT_GRANTED",
  "UNKNOWN_PROTOCOL",
  "CHECKSUM_MISMATCH",
  "BLOB_CORRUPT",
  "INTERNAL",
  "UNDECLARED_COMPRESSION",
  "NO_CREDENTIALS",
  "TOKEN_MISTYPED",
  "TOKEN_UNKNOWN",
  "TOKEN_EXPIRED",
  "TOKEN_REVOKED",
  "LINK_INVALID",
  "LINK_EXPIRED",
] as const;

/** A reason known to this version, or one of a newer server. */
export type Reason = (typeof REASONS)[number] | (string & {});

/** A protobuf message; `$typeName` tells which, as in "conexiones.v1.OffsetMismatch". Its int64 are bigint. */
export type Detail =
  | rpc.ErrorInfo
  | rpc.LocalizedMessage
  | rpc.BadRequest
  | rpc.RequestInfo
  | rpc.RetryInfo
  | rpc.QuotaFailure
  | v1.ImageProblem
  | v1.MessageTooLarge
  | v1.OffsetMismatch
  | v1.WriterFenced
  | v1.ChecksumMismatch;

const DETAILS = [
  rpc.ErrorInfoSchema,
  rpc.LocalizedMessageSchema,
  rpc.BadRequestSchema,
  rpc.RequestInfoSchema,
  rpc.RetryInfoSchema,
  rpc.QuotaFailureSchema,
  v1.ImageProblemSchema,
  v1.MessageTooLargeSchema,
  v1.OffsetMismatchSchema,
  v1.WriterFencedSchema,
  v1.ChecksumMismatchSchema,
];
const BY_TYPE = new Map<string, GenMessage<Detail>>(
  DETAILS.map((schema) => [schema.typeName, schema as unknown as GenMessage<Detail>]),
);

export interface ErrorFields {
  code: Code;
  message: string;
  reason?: Reason;
  facts?: Record<string, string>;
  details?: Detail[];
  cause?: unknown;
}

export class ConexionesError extends Error {
  /** The gRPC status code; `Code[error.code]` is its name. */
  readonly code: Code;
  /** The reason, for programs; it never changes. "" if the error is not the server's. */
  readonly reason: Reason;
  /** The facts in the sentence, as text: limit, actual, format and so on. */
  readonly facts: Readonly<Record<string, string>>;
  readonly details: readonly Detail[];

  constructor({ code, message, reason = "", facts = {}, details = [], cause }: ErrorFields) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = new.target.name;
    this.code = code;
    this.reason = reason;
    this.facts = facts;
    this.details = details;
  }

  /** The offending field of the request; "" if there is none. */
  get field(): string {
    return this.detail("google.rpc.BadRequest")?.fieldViolations[0]?.field ?? "";
  }

  /** The sentence in Spanish, or `message` if there is none. */
  get mensaje(): string {
    return this.detail("google.rpc.LocalizedMessage")?.message ?? this.message;
  }

  /** The id of the request that failed, which the server's log has, too; "" if there is none. */
  get requestId(): string {
    return this.detail("google.rpc.RequestInfo")?.requestId ?? idIn(this.cause);
  }

  /** How long the server asks to wait before another attempt, in milliseconds; undefined if it does not. */
  get retryAfterMs(): number | undefined {
    const delay = this.detail("google.rpc.RetryInfo")?.retryDelay;
    return delay && Number(delay.seconds) * 1000 + delay.nanos / 1e6;
  }

  /** For logs: JSON has no bigint, which the details have, so their int64 are texts there. */
  toJSON(): Record<string, unknown> {
    const { name, message, code, reason, facts, field, requestId } = this;
    return { name, message, code, reason, field, facts, requestId, details: this.details.map(jsonOf) };
  }

  /** The first detail of a type: `error.detail("conexiones.v1.ImageProblem")?.limit`. */
  detail<T extends Detail["$typeName"]>(typeName: T): Extract<Detail, { $typeName: T }> | undefined {
    return this.details.find(
      (detail): detail is Extract<Detail, { $typeName: T }> => detail.$typeName === typeName,
    );
  }
}

export class AccessError extends ConexionesError {}
export class ImageError extends ConexionesError {}
export class NotFoundError extends ConexionesError {}
export class UnavailableError extends ConexionesError {}

export class UnreachableError extends UnavailableError {
  /** Whether another attempt of the same client would fail for the same reason. */
  readonly certain: boolean;

  constructor(address: string, { words, certain }: Why, cause: unknown) {
    const [message, spanish] = [`No server answers at ${address}: ${words}.`, `Ningún servidor responde en ${address}: ${words}.`];
    const details = [create(rpc.LocalizedMessageSchema, { locale: "es", message: spanish })];
    super({ code: Code.UNAVAILABLE, message, facts: { address, why: words }, details, cause });
    this.certain = certain;
  }
}

/** An error of the class that belongs to its code and details. */
export function makeError(fields: ErrorFields): ConexionesError {
  const about = (type: string) => fields.details?.some((detail) => detail.$typeName === type);
  if (about("conexiones.v1.ImageProblem")) return new ImageError(fields);
  if (fields.code === Code.UNAUTHENTICATED || fields.code === Code.PERMISSION_DENIED) return new AccessError(fields);
  if (fields.code === Code.NOT_FOUND) return new NotFoundError(fields);
  if (fields.code === Code.UNAVAILABLE) return new UnavailableError(fields);
  return new ConexionesError(fields);
}

/** The error of a failed call. An error that is not a gRPC status is returned unchanged. */
export function errorOfCall(error: unknown): Error {
  if (!isServiceError(error)) return error instanceof Error ? error : new Error(String(error));
  const [packed] = error.metadata.get("grpc-status-details-bin");
  let anys: Any[] = [];
  if (packed instanceof Uint8Array) {
    try {
      anys = fromBinary(StatusSchema, packed).details;
    } catch {
      // The details are not ours. The status is still worth reporting.
    }
  }
  return errorOfParts(error.code, error.details || error.message, anys, error);
}

/** The error of one message of a stream, of an upload's failure, or of a status. */
export function errorOfParts(code: number, message: string, anys: Any[], cause?: unknown): ConexionesError {
  const details = anys.flatMap(unpacked);
  const info = details.find((detail) => detail.$typeName === "google.rpc.ErrorInfo");
  const { reason = "", metadata: facts = {} } = info ?? {};
  return makeError({ code: isCode(code) ? code : Code.UNKNOWN, message, details, reason, facts, cause });
}

function jsonOf(detail: Detail): object {
  const { $typeName } = detail;
  const schema = BY_TYPE.get($typeName);
  try {
    return { $typeName, ...(schema && (toJson(schema, detail) as object)) };
  } catch {
    return { $typeName }; // it has a value that JSON cannot have, such as a time that is none
  }
}

function isCode(code: number): code is Code {
  return code in Code;
}

function unpacked({ typeUrl, value }: Any): Detail[] {
  const schema = BY_TYPE.get(typeUrl.slice(typeUrl.lastIndexOf("/") + 1));
  if (!schema) return [];
  try {
    return [fromBinary(schema, value)];
  } catch {
    return [];
  }
}

/** The id of the request in the headers of what gRPC says, where the details are not the server's. */
function idIn(cause: unknown): string {
  if (cause instanceof ConexionesError) return cause.requestId;
  const [id] = isServiceError(cause) ? cause.metadata.get("x-request-id") : [];
  return typeof id === "string" ? id : "";
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && "details" in error && "metadata" in error && error.metadata instanceof Metadata;
}

// Codes with which grpc-js reports that the connection was lost during a call. With a reason, which only the server
// sends, the other codes than UNAVAILABLE do not mean that a retry helps.
const LOST = new Set([Code.UNAVAILABLE, Code.INTERNAL, Code.UNKNOWN, Code.CANCELLED, Code.DEADLINE_EXCEEDED]);
const RETRYABLE = new Set<Reason>([
  "OFFSET_MISMATCH",
  "CHECKSUM_MISMATCH",
  "UPLOAD_INCOMPLETE",
  "CLIENT_STALLED",
  // The server asks to be tried again later.
  "TOO_MANY_UPLOADS",
  "UPLOAD_BYTES_EXCEEDED",
  "RATE_EXCEEDED",
  // The deadline of a single call, which the server may notice first. When the whole operation is out of time, its
  // signal is aborted.
  "DEADLINE_EXCEEDED",
]);

/** Whether the connection failed or was silent for too long, so that the error is not the server's. */
export function isLost(error: ConexionesError): boolean {
  return error.reason === "" && LOST.has(error.code);
}

/** Reasons for which a token that was good before is refused. Another one may be in its file by now. */
const STALE = new Set<Reason>(["TOKEN_EXPIRED", "TOKEN_REVOKED", "TOKEN_UNKNOWN"]);

/** Whether the token of the call is no longer good, or never was. */
export function isStale(error: unknown): error is ConexionesError {
  return error instanceof ConexionesError && STALE.has(error.reason);
}

/** Whether the server refused a call before it began, so that it may be repeated even if it is not idempotent. */
export function isRefused(error: unknown): boolean {
  return isStale(error) || (error instanceof ConexionesError && error.reason === "RATE_EXCEEDED");
}

/** Whether a retry, from the offset that the server has, may succeed. */
export function isRetryable(error: ConexionesError): boolean {
  if (error instanceof UnreachableError) return !error.certain;
  if (error.reason === "") return isLost(error);
  return error.code === Code.UNAVAILABLE || RETRYABLE.has(error.reason);
}
