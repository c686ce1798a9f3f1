const { promisify } = require("node:util");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const { user } = grpc.loadPackageDefinition(loader.loadSync("proto/user.proto", { keepCase: true }));

const double = {
  GetUser(request, options, done) {
    done(null, { message: `¡Hola, ${request.name}!` });
  },
};

async function greet(client, name) {
  const reply = await promisify(client.GetUser).call(client, { name }, { deadline: Date.now() + 10_000 });
  return reply.message;
}

async function main() {
  const name = "Pablo Diego José Francisco de Paula ".repeat(8);
  console.log("double:", (await greet(double, name)).slice(0, 12));
  const client = new user.UsuarioServicio("localhost:50051", grpc.credentials.createInsecure());
  try {
    console.log("server:", (await greet(client, name)).slice(0, 12));
  } catch (error) {
    console.log("server:", error.details);
  }
  client.close();
}

main();
