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
  await response.arrayBuffer();
  return response.status;
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
