const { promisify } = require("node:util");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const { user } = grpc.loadPackageDefinition(loader.loadSync("proto/user.proto", { keepCase: true }));

let attempts = 0;
const server = new grpc.Server();
server.addService(user.UsuarioServicio.service, {
  GetUser(call, reply) {
    attempts += 1;
    console.log("attempt", attempts);
    if (attempts < 3) reply({ code: grpc.status.UNAVAILABLE, details: "busy" });
    else reply(null, { message: "ok" });
  },
});

const config = `{"methodConfig": [{
  "name": [{"service": "user.UsuarioServicio", "method": "GetUser"}],
  "retryPolicy": {
    "maxAttempts": 4, "initialBackoff": "0.1s", "maxBackoff": "1s", "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"]
  }
}]}`;

async function main() {
  const nobody = grpc.ServerCredentials.createInsecure();
  const port = await promisify(server.bindAsync).call(server, "localhost:0", nobody);
  const credentials = grpc.credentials.createInsecure();
  const client = new user.UsuarioServicio(`localhost:${port}`, credentials, { "grpc.service_config": config });
  const getUser = promisify(client.GetUser).bind(client);
  const reply = await getUser({ name: "Xana" }, { deadline: Date.now() + 10_000 });
  console.log(reply.message);
  client.close();
  server.forceShutdown();
}

main();
