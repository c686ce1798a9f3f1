const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const { user } = grpc.loadPackageDefinition(loader.loadSync("proto/user.proto", { keepCase: true }));
const client = new user.UsuarioServicio("localhost:50051", grpc.credentials.createInsecure());

client.GetUser({ name: "Iker", pow: 100_000 }, { deadline: Date.now() + 10_000 }, (error, reply) => {
  if (error) throw error;
  client.close();
  const square = reply.message;

  console.log(String(square));
  if (Number(square) !== 10_000_000_000) {
    console.error("Not yet · Todavía no");
    process.exitCode = 1;
  }
});
