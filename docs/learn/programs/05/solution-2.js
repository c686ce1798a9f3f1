const { promisify } = require("node:util");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const { user } = grpc.loadPackageDefinition(loader.loadSync("proto/user.proto", { keepCase: true }));

function advice(code) {
  return code === grpc.status.UNAVAILABLE ? "retry" : "fix";
}

async function main() {
  const found = [];
  for (const [address, name] of [["localhost:50051", ""], ["localhost:1", "Vera"], ["localhost:50051", "Vera"]]) {
    const client = new user.UsuarioServicio(address, grpc.credentials.createInsecure());
    try {
      await promisify(client.GetUser).call(client, { name }, { deadline: Date.now() + 10_000 });
      found.push("ok");
    } catch (error) {
      found.push(advice(error.code));
    }
    client.close();
  }

  console.log(...found);
  if (String(found) !== "fix,retry,ok") {
    console.error("Not yet · Todavía no");
    process.exitCode = 1;
  }
}

main();
