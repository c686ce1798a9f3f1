const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const { user } = grpc.loadPackageDefinition(loader.loadSync("proto/user.proto", { keepCase: true }));
const { requestSerialize } = user.UsuarioServicio.service.GetUser;

async function status(name) {
  const message = requestSerialize({ name });
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  const response = await fetch("http://localhost:50051/user.UsuarioServicio/GetUser", {
    method: "POST",
    headers: { "content-type": "application/grpc-web+proto" },
    body: Buffer.concat([prefix, message]),
    signal: AbortSignal.timeout(10_000),
  });
  let body = Buffer.from(await response.arrayBuffer());
  let trailers = response.headers;
  while (body.length > 0) {
    const end = 5 + body.readUInt32BE(1);
    if (body[0] & 0x80) {
      const lines = body.subarray(5, end).toString().trim().split("\r\n");
      trailers = new Headers(lines.map((line) => line.split(/:(.*)/).slice(0, 2)));
    }
    body = body.subarray(end);
  }
  return trailers.get("grpc-status");
}

async function main() {
  const found = [await status("Nora"), await status("")];
  console.log(...found);
  if (JSON.stringify(found) !== '["0","3"]') {
    console.error("Not yet · Todavía no");
    process.exitCode = 1;
  }
}

main();
