// Clients of the server's services, over binary gRPC-Web, at the origin of the page.
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";

import { ImageService } from "#gen/conexiones/v1/images_pb";
import { StatusService } from "#gen/conexiones/v1/status_pb";
import { UploadService } from "#gen/conexiones/v1/uploads_pb";
import { ErrorInfoSchema, LocalizedMessageSchema } from "#gen/google/rpc/error_details_pb";
import { UsuarioServicio } from "#gen/user_pb";

import { language } from "./i18n";

const baseUrl = location.origin;
const transport = createGrpcWebTransport({ baseUrl });
/** With keepalive a request reaches the server even if the page is left meanwhile. It may have at most 64 KiB. */
const lasting = createGrpcWebTransport({
  baseUrl,
  fetch: (input, init) => fetch(input, { ...init, keepalive: true }),
});

export const images = createClient(ImageService, transport);
export const lastingImages = createClient(ImageService, lasting);
export const uploads = createClient(UploadService, transport);
export const status = createClient(StatusService, transport);
export const usuario = createClient(UsuarioServicio, transport);

/** The error of a call. */
export interface Problem {
  code: Code;
  /** The stable reason (see docs/errors.md); empty if the error is not the server's. */
  reason: string;
  /** The sentence, in the page's language if the server has it. */
  message: string;
  /** Whether a retry may succeed. */
  retryable: boolean;
  error: ConnectError;
}

const RETRYABLE = new Set([Code.Unavailable, Code.DeadlineExceeded, Code.Internal, Code.Unknown, Code.ResourceExhausted]);

/** Reasons that are worth a retry, besides all of UNAVAILABLE. */
const REASONS = new Set(["SERVER_BUSY", "CHECKSUM_MISMATCH", "CLIENT_STALLED"]);

export function problem(thrown: unknown): Problem {
  const error = ConnectError.from(thrown);
  const reason = error.findDetails(ErrorInfoSchema)[0]?.reason ?? "";
  // A reason means that the server itself has answered, so only some of its errors are worth a retry.
  const retryable = reason
    ? error.code === Code.Unavailable || REASONS.has(reason)
    : RETRYABLE.has(error.code);
  const local = error.findDetails(LocalizedMessageSchema).find(({ locale }) => locale === language)?.message;
  return { code: error.code, reason, message: local ?? error.rawMessage, retryable, error };
}

/** The health of the server; undefined if it is unreachable. */
export async function health(): Promise<"SERVING" | "NOT_SERVING" | undefined> {
  try {
    const reply = await fetch("/grpc.health.v1.Health/Check", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: "{}",
    });
    const { status: found } = (await reply.json()) as { status?: string };
    return found === "SERVING" ? found : "NOT_SERVING";
  } catch {
    return undefined;
  }
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
