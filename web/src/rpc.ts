// The server's services, over gRPC-Web in binary: the same origin, the same port.
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
/** What it sends reaches the server even when the page is left meanwhile; at most 64 KiB. */
const lasting = createGrpcWebTransport({
  baseUrl,
  fetch: (input, init) => fetch(input, { ...init, keepalive: true }),
});

export const images = createClient(ImageService, transport);
export const lastingImages = createClient(ImageService, lasting);
export const uploads = createClient(UploadService, transport);
export const status = createClient(StatusService, transport);
export const usuario = createClient(UsuarioServicio, transport);

/** What went wrong with a call. */
export interface Problem {
  code: Code;
  /** Stable: docs/errors.md lists them. Empty if the server said none. */
  reason: string;
  /** In the page's language where the server says it so. */
  message: string;
  /** Whether the same call may succeed in a moment. */
  passing: boolean;
  error: ConnectError;
}

const PASSING = new Set([Code.Unavailable, Code.DeadlineExceeded, Code.Internal, Code.Unknown, Code.ResourceExhausted]);

export function problem(thrown: unknown): Problem {
  const error = ConnectError.from(thrown);
  const reason = error.findDetails(ErrorInfoSchema)[0]?.reason ?? "";
  // With a reason, the server itself has answered: then only what it calls passing is.
  const passing = reason
    ? error.code === Code.Unavailable || reason === "SERVER_BUSY" || reason === "CHECKSUM_MISMATCH"
    : PASSING.has(error.code);
  const local = error.findDetails(LocalizedMessageSchema).find(({ locale }) => locale === language)?.message;
  return { code: error.code, reason, message: local ?? error.rawMessage, passing, error };
}

/** Whether the server serves, by its health service; undefined if it is out of reach. */
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

/** Milliseconds before another attempt: longer each time, never the same for two pages, 5 s at most. */
export function delayAfter(attempts: number): number {
  return Math.min(5_000, 250 * 2 ** attempts) * (0.5 + Math.random() / 2);
}

/** Waits; sooner if the browser finds its network again. Rejects when aborted. */
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
