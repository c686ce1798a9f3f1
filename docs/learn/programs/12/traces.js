const { once } = require("node:events");
const http = require("node:http");
const { promisify } = require("node:util");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");
const protobuf = require("protobufjs");
const { serve } = require("../11/serve.cjs");

const { user } = grpc.loadPackageDefinition(loader.loadSync("proto/user.proto", { keepCase: true }));
const { root } = protobuf.parse(
  `syntax = "proto3";
   message ExportTraceServiceRequest { repeated ResourceSpans resource_spans = 1; }
   message ResourceSpans { repeated ScopeSpans scope_spans = 2; }
   message ScopeSpans { repeated Span spans = 2; }
   message Span {
     bytes trace_id = 1; bytes span_id = 2; bytes parent_span_id = 4;
     string name = 5; fixed64 start_time_unix_nano = 7;
   }`,
  { keepCase: true },
);

const spans = [];
const collector = http.createServer(async (request, response) => {
  const body = Buffer.concat(await request.toArray());
  if (request.url === "/v1/traces") {
    const { resource_spans } = root.lookupType("ExportTraceServiceRequest").decode(body);
    spans.push(...resource_spans.flatMap(({ scope_spans }) => scope_spans.flatMap((scope) => scope.spans)));
  }
  response.end();
});

async function main() {
  await once(collector.listen(0, "127.0.0.1"), "listening");
  process.env.OTEL_EXPORTER_OTLP_ENDPOINT = `http://127.0.0.1:${collector.address().port}`;
  process.env.OTEL_METRICS_EXPORTER = "none";

  const metadata = new grpc.Metadata();
  metadata.set("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
  console.log("sent", ...metadata.get("traceparent"));
  const server = await serve();
  const client = new user.UsuarioServicio(server.address, grpc.credentials.createInsecure());
  const getUser = promisify(client.GetUser).bind(client);
  await getUser({ name: "Nora" }, metadata, { deadline: Date.now() + 10_000 });
  client.close();
  await server.stop();
  collector.close();

  const hex = (id) => id.toString("hex");
  const names = new Map(spans.map((span) => [hex(span.span_id), span.name]));
  spans.sort((one, other) => one.start_time_unix_nano - other.start_time_unix_nano);
  for (const { trace_id, name, parent_span_id } of spans) {
    const parent = hex(parent_span_id);
    console.log(hex(trace_id), name, "of", names.get(parent) ?? parent);
  }
}

main();
