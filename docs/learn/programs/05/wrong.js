const { promisify } = require("node:util");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const { user } = grpc.loadPackageDefinition(loader.loadSync("proto/user.proto", { keepCase: true }));
const client = new user.UsuarioServicio("localhost:50051", grpc.credentials.createInsecure());
const processImage = promisify(client.ProcessImage).bind(client);

async function main() {
  for (const text of ["%PDF-1.7 ", "Querida Ada", "\xff\xd8\xff\xe0"]) {
    const image = Buffer.from(text, "latin1");
    try {
      await processImage({ image }, { deadline: Date.now() + 10_000 });
    } catch (error) {
      console.log(grpc.status[error.code], error.details);
    }
  }
  client.close();
}

main();
