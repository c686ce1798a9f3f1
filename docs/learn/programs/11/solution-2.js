const { promisify } = require("node:util");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const { user } = grpc.loadPackageDefinition(loader.loadSync("proto/user.proto", { keepCase: true }));

const careless = [];

function record(call, reply) {
  if (call.getDeadline() > Date.now() + 60_000) careless.push(call.getPath());
  reply(null, {});
}

const server = new grpc.Server();
server.addService(user.UsuarioServicio.service, { GetUser: record, ProcessImage: record });

async function main() {
  const nobody = grpc.ServerCredentials.createInsecure();
  const port = await promisify(server.bindAsync).call(server, "localhost:0", nobody);
  const client = new user.UsuarioServicio(`localhost:${port}`, grpc.credentials.createInsecure());
  for (const [method, seconds] of [
    ["GetUser", 10],
    ["ProcessImage", Infinity],
    ["GetUser", 90],
    ["ProcessImage", 10],
  ]) {
    await promisify(client[method]).call(client, { name: "Nora" }, { deadline: Date.now() + seconds * 1000 });
  }
  client.close();
  server.forceShutdown();

  console.log("more than a minute:", ...careless);
  if (String(careless) !== "/user.UsuarioServicio/ProcessImage,/user.UsuarioServicio/GetUser") {
    console.error("Not yet · Todavía no");
    process.exitCode = 1;
  }
}

main();
