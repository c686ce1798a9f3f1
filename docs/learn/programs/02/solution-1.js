const path = require("node:path");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const definition = loader.loadSync(path.join(__dirname, "solution_1.proto"), { keepCase: true });
const { user } = grpc.loadPackageDefinition(definition);
const client = new user.UsuarioServicio("localhost:50051", grpc.credentials.createInsecure());

client.GetUser({ name: "Olga", pow: 100_000 }, { deadline: Date.now() + 10_000 }, (error, reply) => {
  if (error) throw error;
  client.close();

  const square = reply.user?.pow_squared;
  console.log("square:", String(square ?? "?"));
  if (Number(square) !== 10_000_000_000) {
    console.error("Not yet · Todavía no");
    process.exitCode = 1;
  }
});
