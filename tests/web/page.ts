// The page of the browser tests. It sends calls through several browser clients, and returns what came back. The test
// calls `run`.
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import type { Message } from "@bufbuild/protobuf";
import { ConnectError, createClient } from "@connectrpc/connect";
import type { Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-web";
import * as grpcWeb from "grpc-web";
import { GetUserReplySchema, GetUserRequestSchema, UsuarioServicio } from "./gen/user_pb";
import type { GetUserReply } from "./gen/user_pb";

interface Call {
  path: string;
  request: string;
}

/** Bytes are base64. `status` is grpc-status-details-bin, from clients that give access to it. */
interface Answer {
  code: number;
  message: string;
  status: string;
  details: { type: string; value: string }[];
  reply: string;
}

type Client = (path: string, request: Uint8Array) => Promise<Answer>;

const NOTHING: Answer = { code: 0, message: "", status: "", details: [], reply: "" };

Object.assign(window, {
  async run(base: string, calls: Call[], headers: Record<string, string> = {}): Promise<Record<string, Answer[]>> {
    const clients: Record<string, Client> = {
      "grpc-web text": official(base, "text", headers),
      "grpc-web binary": official(base, "binary", headers),
      "connect-web JSON": connect(createConnectTransport({ baseUrl: base }), headers),
      "connect-web protobuf": connect(createConnectTransport({ baseUrl: base, useBinaryFormat: true }), headers),
      "connect-web gRPC-Web": connect(createGrpcWebTransport({ baseUrl: base }), headers),
    };
    const answers: Record<string, Answer[]> = {};
    for (const [name, client] of Object.entries(clients)) {
      answers[name] = [];
      for (const { path, request } of calls) answers[name].push(await client(path, bytes(request)));
    }
    return answers;
  },
});

/** The official client. It needs no generated code: it accepts any two functions that encode and decode messages. */
function official(base: string, format: "text" | "binary", headers: Record<string, string>): Client {
  const client = new grpcWeb.GrpcWebClientBase({ format });
  return async (path, request) => {
    const descriptor = new grpcWeb.MethodDescriptor<Message, GetUserReply>(
      path,
      grpcWeb.MethodType.UNARY,
      Object as never,
      Object as never,
      (message: never) => toBinary(GetUserRequestSchema, message),
      (reply: Uint8Array) => fromBinary(GetUserReplySchema, reply),
    );
    const message = fromBinary(GetUserRequestSchema, request);
    try {
      return served(await client.unaryCall(base + path, message, headers, descriptor));
    } catch (error) {
      if (!(error instanceof grpcWeb.RpcError)) throw error;
      const status = error.metadata["grpc-status-details-bin"] ?? "";
      return { ...NOTHING, code: error.code, message: error.message, status };
    }
  };
}

function connect(transport: Transport, headers: Record<string, string>): Client {
  const client = createClient(UsuarioServicio, transport);
  return async (path, request) => {
    const message = fromBinary(GetUserRequestSchema, request);
    try {
      return served(await (path.endsWith("/GetUser") ? client.getUser(message, { headers }) : client.processImage(message, { headers })));
    } catch (thrown) {
      const { code, rawMessage, details } = ConnectError.from(thrown);
      const wire = details.filter((detail) => "type" in detail);
      const readable = wire.map(({ type, value }) => ({ type, value: base64(value) }));
      return { ...NOTHING, code, message: rawMessage, details: readable };
    }
  };
}

function served(reply: GetUserReply): Answer {
  return { ...NOTHING, reply: base64(toBinary(GetUserReplySchema, reply)) };
}

function bytes(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

function base64(data: Uint8Array): string {
  return btoa(Array.from(data, (byte) => String.fromCharCode(byte)).join(""));
}
