const { promisify } = require("node:util");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const { user } = grpc.loadPackageDefinition(loader.loadSync("proto/user.proto", { keepCase: true }));

const refusals = [
  { code: grpc.status.UNAVAILABLE, details: "busy" },
  { code: grpc.status.INVALID_ARGUMENT, details: "no such name" },
];

const server = new grpc.Server();
server.addService(user.UsuarioServicio.service, {
  GetUser(call, reply) {
    reply(refusals.shift());
  },
});

async function greet(getUser, name) {
  try {
    const reply = await getUser({ name }, { deadline: Date.now() + 10_000 });
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
  const said = [];
  for (const name of ["Nora", "Nora"]) {
    said.push(await greet(getUser, name).catch((error) => grpc.status[error.code]));
  }
  client.close();
  server.forceShutdown();

  console.log(said.join(", "));
  if (String(said) !== "Try again later,INVALID_ARGUMENT") {
    console.error("Not yet · Todavía no");
    process.exitCode = 1;
  }
}

main();
