const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const { user } = grpc.loadPackageDefinition(loader.loadSync("proto/user.proto", { keepCase: true }));
const client = new user.UsuarioServicio("localhost:50051", grpc.credentials.createInsecure());

client.GetUser({ name: "Nora", pow: 12 }, { deadline: Date.now() + 10_000 }, (error, reply) => {
  if (error) throw error;
  console.log(reply.message);
  client.close();
});
