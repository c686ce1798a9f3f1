const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");
const { Proxy } = require("./proxy");

const { user } = grpc.loadPackageDefinition(loader.loadSync("proto/user.proto", { keepCase: true }));

async function main() {
  const proxy = await new Proxy().listen();
  const client = new user.UsuarioServicio(proxy.address, grpc.credentials.createInsecure());
  const call = client.GetUserBidiStream({ deadline: Date.now() + 3_000 });
  call.write({ name: "Dalia" });
  try {
    for await (const reply of call) {
      console.log(reply.name);
      proxy.passing = () => "";
      call.write({ name: "Eloy" });
    }
  } catch (error) {
    console.log(grpc.status[error.code]);
  }
  client.close();
}

main();
