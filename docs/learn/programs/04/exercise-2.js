const { promisify } = require("node:util");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const { user } = grpc.loadPackageDefinition(loader.loadSync("proto/user.proto", { keepCase: true }));
const server = new grpc.Server();
server.addService(user.UsuarioServicio.service, {
  ProcessImage: ({ request }, reply) => reply(null, { message: `${request.image.length} bytes` }),
});

async function main() {
  const nobody = grpc.ServerCredentials.createInsecure();
  const port = await promisify(server.bindAsync).call(server, "localhost:0", nobody);
  const client = new user.UsuarioServicio(`localhost:${port}`, grpc.credentials.createInsecure());
  const processImage = promisify(client.ProcessImage).bind(client);
  const outcomes = [];
  for (const size of [8_000_000, 9_000_000]) {
    try {
      await processImage({ image: Buffer.alloc(size) }, { deadline: Date.now() + 60_000 });
      outcomes.push("OK");
    } catch (error) {
      outcomes.push(grpc.status[error.code]);
    }
  }
  client.close();
  server.forceShutdown();

  console.log(...outcomes);
  if (String(outcomes) !== "OK,RESOURCE_EXHAUSTED") {
    console.error("Not yet · Todavía no");
    process.exitCode = 1;
  }
}

main();
