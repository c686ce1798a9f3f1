const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const { user } = grpc.loadPackageDefinition(loader.loadSync("proto/user.proto", { keepCase: true }));
const { requestSerialize, responseDeserialize } = user.UsuarioServicio.service.GetUser;

async function main() {
  const message = requestSerialize({ name: "Nora", pow: 12 });
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  const response = await fetch("http://localhost:50051/user.UsuarioServicio/GetUser", {
    method: "POST",
    headers: { "content-type": "application/grpc-web+proto" },
    body: Buffer.concat([prefix, message]),
    signal: AbortSignal.timeout(10_000),
  });

  let body = Buffer.from(await response.arrayBuffer());
  while (body.length > 0) {
    const end = 5 + body.readUInt32BE(1);
    const content = body.subarray(5, end);
    if (body[0] & 0x80) console.log("trailers:", content.toString().trim());
    else console.log("message:", responseDeserialize(content).message);
    body = body.subarray(end);
  }
}

main();
