const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");
const { Proxy } = require("./proxy");

const { user } = grpc.loadPackageDefinition(loader.loadSync("proto/user.proto", { keepCase: true }));
const options = { "grpc.keepalive_time_ms": 1_000, "grpc.keepalive_timeout_ms": 1_000 };

async function main() {
  const proxy = await new Proxy().listen();
  const client = new user.UsuarioServicio(proxy.address, grpc.credentials.createInsecure(), options);
  const call = client.GetUserBidiStream({ deadline: Date.now() + 5_000 });
  call.write({ name: "Gala" });
  let code = grpc.status.OK;
  try {
    for await (const reply of call) {
      console.log(reply.name);
      proxy.passing = () => "";
    }
  } catch (error) {
    code = error.code;
  }
  client.close();

  console.log(grpc.status[code]);
  console.log("cuts:", proxy.cuts);
  if (code !== grpc.status.UNAVAILABLE || proxy.cuts > 0 || proxy.passed === 0) {
    console.error("Not yet · Todavía no");
    process.exitCode = 1;
  }
}

main();
