const path = require("node:path");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const definition = loader.loadSync(path.join(__dirname, "broken.proto"), { keepCase: true });
const { user } = grpc.loadPackageDefinition(definition);
const client = new user.UsuarioServicio("localhost:50051", grpc.credentials.createInsecure());

client.GetUser({ name: "Olga", pow: 5 }, { deadline: Date.now() + 10_000 }, (error, reply) => {
  if (error) console.log(grpc.status[error.code], error.details);
  else console.log(reply);
  client.close();
});
