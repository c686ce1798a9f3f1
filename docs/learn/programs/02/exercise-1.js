const path = require("node:path");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const definition = loader.loadSync(path.join(__dirname, "exercise_1.proto"), { keepCase: true });
const { user } = grpc.loadPackageDefinition(definition);
const client = new user.UsuarioServicio("localhost:50051", grpc.credentials.createInsecure());

client.GetUser({ name: "Olga", pow: 5 }, { deadline: Date.now() + 10_000 }, (error, reply) => {
  if (error) throw error;
  client.close();

  if (!reply.user) {
    console.error("Not yet · Todavía no");
    process.exitCode = 1;
    return;
  }
  console.log(String(reply.user.pow_squared));
});
