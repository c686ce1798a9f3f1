// Servers that lie, made of the handlers that a test gives. Only what no real server does is tested against them.
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import type { DescMethod, DescService, Message } from "@bufbuild/protobuf";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import type { ServerDuplexStream, ServerUnaryCall, ServerWritableStream, UntypedHandleCall } from "@grpc/grpc-js";
import { after } from "node:test";

import { ImageService } from "../src/gen/conexiones/v1/images_pb.js";
import { UploadService } from "../src/gen/conexiones/v1/uploads_pb.js";
import { UsuarioServicio } from "../src/gen/user_pb.js";

type Unary = (request: never) => unknown;
type Streaming = (call: never) => void;

/** The address of a server with these handlers, by the names of their methods. */
export async function lying(handlers: Record<string, Unary | Streaming>): Promise<string> {
  const server = new Server();
  for (const service of [UploadService, ImageService, UsuarioServicio]) add(server, service, handlers);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) => (error ? reject(error) : resolve(bound)));
  });
  after(() => server.forceShutdown());
  return `127.0.0.1:${port}`;
}

function add(server: Server, service: DescService, handlers: Record<string, Unary | Streaming>): void {
  const here = service.methods.filter(({ localName }) => localName in handlers);
  if (here.length === 0) return;
  const definition = Object.fromEntries(here.map((method) => [method.localName, definitionOf(method)]));
  const implementation = Object.fromEntries(here.map((method) => [method.localName, handle(method, handlers[method.localName])]));
  server.addService(definition, implementation as Record<string, UntypedHandleCall>);
}

function definitionOf({ parent, name, input, output, methodKind }: DescMethod) {
  return {
    path: `/${parent.typeName}/${name}`,
    requestStream: methodKind === "bidi_streaming" || methodKind === "client_streaming",
    responseStream: methodKind === "bidi_streaming" || methodKind === "server_streaming",
    requestSerialize: (message: Message) => Buffer.from(toBinary(input, message)),
    requestDeserialize: (bytes: Buffer) => fromBinary(input, bytes),
    responseSerialize: (message: Message) => Buffer.from(toBinary(output, message)),
    responseDeserialize: (bytes: Buffer) => fromBinary(output, bytes),
  };
}

function handle({ methodKind }: DescMethod, handler: Unary | Streaming | undefined): unknown {
  if (methodKind !== "unary") return handler;
  return ({ request }: ServerUnaryCall<never, unknown>, done: (error: Error | null, reply?: unknown) => void) => {
    try {
      done(null, (handler as Unary)(request));
    } catch (error) {
      done(error as Error);
    }
  };
}

export type Writes<O> = ServerWritableStream<unknown, O>;
export type Talks<I, O> = ServerDuplexStream<I, O>;

/** Calls `send` again and again until the call is over. */
export function forever(call: { cancelled: boolean; on(event: "cancelled", end: () => void): unknown }, send: () => void): void {
  const timer = setInterval(send, 5); // the pace of a server
  call.on("cancelled", () => clearInterval(timer));
}
