const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const { user } = grpc.loadPackageDefinition(loader.loadSync("proto/user.proto", { keepCase: true }));
const client = new user.UsuarioServicio("localhost:50051", grpc.credentials.createInsecure());

const call = client.GetUserBidiStream({ deadline: Date.now() + 10_000 });
call.on("data", (reply) => {
  console.log(reply.name);
  call.cancel();
});
call.on("error", (error) => {
  console.log(grpc.status[error.code]);
  client.close();
});
call.write({ name: "Wanda" });
