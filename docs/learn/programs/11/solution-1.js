const { promisify } = require("node:util");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const { user } = grpc.loadPackageDefinition(loader.loadSync("proto/user.proto", { keepCase: true }));

const server = new grpc.Server();
server.addService(user.UsuarioServicio.service, {
  GetUser: (call, reply) => reply({ code: grpc.status.UNAVAILABLE, details: "busy" }),
});

async function greet(getUser) {
  try {
    const reply = await getUser({ name: "Nora" }, { deadline: Date.now() + 10_000 });
    return reply.message;
  } catch (error) {
    if (error.code !== grpc.status.UNAVAILABLE) throw error;
    return "Try again later";
  }
}

async function main() {
  const nobody = grpc.ServerCredentials.createInsecure();
  const port = await promisify(server.bindAsync).call(server, "localhost:0", nobody);
  const client = new user.UsuarioServicio(`localhost:${port}`, grpc.credentials.createInsecure());
  const getUser = promisify(client.GetUser).bind(client);
  const said = await greet(getUser).catch((error) => grpc.status[error.code]);
  client.close();
  server.forceShutdown();

  console.log(said);
  if (said !== "Try again later") {
    console.error("Not yet · Todavía no");
    process.exitCode = 1;
  }
}

main();
