const fs = require("node:fs");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");
const { Proxy } = require("./proxy");

const { user } = grpc.loadPackageDefinition(loader.loadSync("proto/user.proto", { keepCase: true }));
const config = fs.readFileSync("docs/learn/programs/07/retry.json", "utf8");

async function main() {
  const proxy = await new Proxy().listen();
  const nobody = grpc.credentials.createInsecure();
  const client = new user.UsuarioServicio(proxy.address, nobody, { "grpc.service_config": config });
  const call = client.GetUserBidiStream({ deadline: Date.now() + 10_000 });
  call.write({ name: "Abril" });
  try {
    for await (const reply of call) {
      console.log(reply.name);
      proxy.cut();
    }
  } catch (error) {
    console.log(grpc.status[error.code]);
  }
  client.GetUser({ name: "Abril", pow: 7 }, { deadline: Date.now() + 10_000 }, (error, reply) => {
    if (error) throw error;
    console.log(reply.message);
    client.close();
  });
}

main();
