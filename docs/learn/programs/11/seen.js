const assert = require("node:assert");
const { promisify } = require("node:util");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");
const { square } = require("./square.js");

const { user } = grpc.loadPackageDefinition(loader.loadSync("proto/user.proto", { keepCase: true }));
const { GetUser } = user.UsuarioServicio.service;

const server = new grpc.Server();
server.addService(
  { GetUser: { ...GetUser, requestDeserialize: (bytes) => bytes } },
  {
    GetUser(call, reply) {
      console.log(call.getPath());
      console.log(call.request.toString("hex").replace(/..(?=.)/g, "$& "));
      console.log("ends within a minute:", call.getDeadline() < Date.now() + 60_000 ? "yes" : "no");
      reply(null, { user: { pow_squared: 144 } });
    },
  },
);

async function main() {
  const nobody = grpc.ServerCredentials.createInsecure();
  const port = await promisify(server.bindAsync).call(server, "localhost:0", nobody);
  assert.strictEqual(await square(`localhost:${port}`, "Nora", 12), 144);
  server.forceShutdown();
}

main();
