const { promisify } = require("node:util");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const { user } = grpc.loadPackageDefinition(loader.loadSync("proto/user.proto", { keepCase: true }));
const client = new user.UsuarioServicio("localhost:50051", grpc.credentials.createInsecure());
const getUser = promisify(client.GetUser).bind(client);

async function main() {
  try {
    await getUser({ name: "Yago", pow: 6 }, { deadline: Date.now() });
  } catch (error) {
    console.log(grpc.status[error.code]);
  }
  for (let i = 0; i < 2; i += 1) {
    const reply = await getUser({ name: "Yago", pow: 6 }, { deadline: Date.now() + 10_000 });
    console.log(reply.message);
  }
  client.close();
}

main();
