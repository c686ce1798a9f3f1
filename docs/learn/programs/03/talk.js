const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const { user } = grpc.loadPackageDefinition(loader.loadSync("proto/user.proto", { keepCase: true }));
const client = new user.UsuarioServicio("localhost:50051", grpc.credentials.createInsecure());

const names = ["Pilar", "Quim", "Rita"];
const call = client.GetUserBidiStream({ deadline: Date.now() + 10_000 });

function next() {
  const name = names.shift();
  if (name === undefined) return call.end();
  console.log("→", name);
  call.write({ name, pow: name.length });
}

call.on("data", (reply) => {
  console.log("←", reply.pow);
  next();
});
call.on("end", () => client.close());
next();
