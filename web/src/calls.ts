// What all calls have in common, in the page and in its workers: the transport, failures, and waiting before a retry.
import { Code, ConnectError } from "@connectrpc/connect";
import type { Interceptor } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";

import { ErrorInfoSchema, LocalizedMessageSchema, RequestInfoSchema, RetryInfoSchema } from "#gen/google/rpc/error_details_pb";

import { refused } from "./access/session";
import { language } from "./language";
import { traceparent } from "./traces";

export { needsSignIn } from "./access/session";
export { delayAfter, pause } from "./pauses";

export const baseUrl = location.origin;

/** Tells the page when the server asks for a session. Streams fail only while they are read: who reads them tells it. */
export const careful: Interceptor = (next) => async (request) => {
  try {
    return await next(request);
  } catch (error) {
    if (ConnectError.from(error).code === Code.Unauthenticated) refused();
    throw error;
  }
};

/** Puts the call into the trace of what the user does, unless it has one. */
export const traced: Interceptor = (next) => async (request) => {
  if (!request.header.has("traceparent")) request.header.set("traceparent", traceparent());
  return await next(request);
};

/** Binary gRPC-Web, at the origin of the page, whose cookie the browser sends along. */
export const transport = createGrpcWebTransport({ baseUrl, interceptors: [careful, traced] });

/** The error of a call. */
export interface Problem {
  code: Code;
  /** The stable reason (see docs/errors.md); empty if the error is not the server's. */
  reason: string;
  /** The sentence, in the page's language if the server has it. */
  message: string;
  /** Whether a retry may succeed. */
  retryable: boolean;
  /** The milliseconds that the server asks to wait before a retry. */
  retryAfter: number;
  /** The id of the call, which the server's log has, too; empty if there is none. */
  callId: string;
  error: ConnectError;
}

const RETRYABLE = new Set([Code.Unavailable, Code.DeadlineExceeded, Code.Internal, Code.Unknown, Code.ResourceExhausted]);

/** The server has no room for one more upload of this client, until others have ended. */
export const NO_ROOM: ReadonlySet<string> = new Set(["TOO_MANY_UPLOADS", "UPLOAD_BYTES_EXCEEDED"]);
/** Reasons that are worth a retry, besides all of UNAVAILABLE. */
const REASONS = new Set([...NO_ROOM, "RATE_EXCEEDED", "CHECKSUM_MISMATCH", "CLIENT_STALLED"]);

export function problem(thrown: unknown): Problem {
  const error = ConnectError.from(thrown);
  const { reason: told = "", metadata = {} } = error.findDetails(ErrorInfoSchema)[0] ?? {};
  // A quota of open uploads has room again when others have ended. Any other quota has to be made room in.
  const reason = told === "QUOTA_EXCEEDED" && metadata["unit"] === "uploads" ? "TOO_MANY_UPLOADS" : told;
  // A reason means that the server itself has answered, so only some of its errors are worth a retry.
  const retryable = reason
    ? error.code === Code.Unavailable || REASONS.has(reason)
    : RETRYABLE.has(error.code);
  const local = error.findDetails(LocalizedMessageSchema).find(({ locale }) => locale === language)?.message;
  const { seconds = 0n, nanos = 0 } = error.findDetails(RetryInfoSchema)[0]?.retryDelay ?? {};
  const retryAfter = Number(seconds) * 1000 + nanos / 1e6;
  const callId = error.findDetails(RequestInfoSchema)[0]?.requestId ?? error.metadata.get("x-request-id") ?? "";
  return { code: error.code, reason, message: local ?? error.rawMessage, retryable, retryAfter, callId, error };
}
