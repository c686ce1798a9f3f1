const path = require("node:path");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const definition = loader.loadSync(path.join(__dirname, "tutorial.proto"), { keepCase: true });
const { user } = grpc.loadPackageDefinition(definition);
const client = new user.UsuarioServicio("localhost:50051", grpc.credentials.createInsecure());

client.GetUser({ name: "Olga", pow: 5 }, { deadline: Date.now() + 10_000 }, (error, reply) => {
  if (error) throw error;
  console.log(reply.message);
  console.log(...definition["user.GetUserReply"].type.field.map(({ name }) => name));
  client.close();
});
