// What all calls have in common, in the page and in its workers: the transport, failures, and waiting before a retry.
import { Code, ConnectError } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";

import { ErrorInfoSchema, LocalizedMessageSchema, RetryInfoSchema } from "#gen/google/rpc/error_details_pb";

import { language } from "./language";

export const baseUrl = location.origin;
/** Binary gRPC-Web, at the origin of the page. */
export const transport = createGrpcWebTransport({ baseUrl });

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
  error: ConnectError;
}

const RETRYABLE = new Set([Code.Unavailable, Code.DeadlineExceeded, Code.Internal, Code.Unknown, Code.ResourceExhausted]);

/** The server has no room for one more upload of this client, until others have ended. */
export const NO_ROOM: ReadonlySet<string> = new Set(["TOO_MANY_UPLOADS", "UPLOAD_BYTES_EXCEEDED"]);
/** Reasons that are worth a retry, besides all of UNAVAILABLE. */
const REASONS = new Set([...NO_ROOM, "CHECKSUM_MISMATCH", "CLIENT_STALLED"]);

export function problem(thrown: unknown): Problem {
  const error = ConnectError.from(thrown);
  const reason = error.findDetails(ErrorInfoSchema)[0]?.reason ?? "";
  // A reason means that the server itself has answered, so only some of its errors are worth a retry.
  const retryable = reason
    ? error.code === Code.Unavailable || REASONS.has(reason)
    : RETRYABLE.has(error.code);
  const local = error.findDetails(LocalizedMessageSchema).find(({ locale }) => locale === language)?.message;
  const { seconds = 0n, nanos = 0 } = error.findDetails(RetryInfoSchema)[0]?.retryDelay ?? {};
  const retryAfter = Number(seconds) * 1000 + nanos / 1e6;
  return { code: error.code, reason, message: local ?? error.rawMessage, retryable, retryAfter, error };
}

/** Milliseconds to wait before the next attempt: exponential backoff with jitter, at most 5 s. */
export function delayAfter(attempts: number): number {
  return Math.min(5_000, 250 * 2 ** attempts) * (0.5 + Math.random() / 2);
}

/** Waits, but no longer than until the browser's network is back. Rejects when aborted. */
export async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  await new Promise<void>((resolve) => {
    const over = () => {
      clearTimeout(timer);
      removeEventListener("online", over);
      signal.removeEventListener("abort", over);
      resolve();
    };
    const timer = setTimeout(over, milliseconds);
    addEventListener("online", over);
    signal.addEventListener("abort", over);
  });
  signal.throwIfAborted();
}
