// Clients of the server's services.
import { createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-web";

import { ImageService } from "#gen/conexiones/v1/images_pb";
import { StatusService } from "#gen/conexiones/v1/status_pb";
import { UploadService } from "#gen/conexiones/v1/uploads_pb";
import { UsuarioServicio } from "#gen/user_pb";

import { baseUrl, careful, traced, transport } from "./calls";

/** With keepalive a request reaches the server even if the page is left meanwhile. It may have at most 64 KiB. */
const lasting = createGrpcWebTransport({
  baseUrl,
  interceptors: [traced],
  fetch: (input, init) => fetch(input, { ...init, keepalive: true }),
});

export const images = createClient(ImageService, transport);
export const lastingImages = createClient(ImageService, lasting);
export const uploads = createClient(UploadService, transport);
export const status = createClient(StatusService, transport);

/** A client of the tutorial's service that calls in this protocol, with this `fetch`. */
export function usuarioBy(protocol: "gRPC-Web" | "Connect", fetch: typeof globalThis.fetch) {
  const options = { baseUrl, fetch, interceptors: [careful, traced] };
  const made = protocol === "Connect" ? createConnectTransport(options) : createGrpcWebTransport(options);
  return createClient(UsuarioServicio, made);
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
