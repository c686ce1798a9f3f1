const { promisify } = require("node:util");
const { setTimeout: sleep } = require("node:timers/promises");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const { user } = grpc.loadPackageDefinition(loader.loadSync("proto/user.proto", { keepCase: true }));

const attempts = [];

function attempt(client, name) {
  attempts.push(name);
  return promisify(client.GetUser).call(client, { name }, { deadline: Date.now() + 10_000 });
}

async function callWithRetries(client, name) {
  return await attempt(client, name);
}

async function main() {
  for (const [address, name] of [["localhost:1", "Zoe"], ["localhost:50051", ""]]) {
    const client = new user.UsuarioServicio(address, grpc.credentials.createInsecure());
    try {
      await callWithRetries(client, name);
    } catch (error) {
      console.log(grpc.status[error.code], attempts.filter((one) => one === name).length);
    }
    client.close();
  }

  if (String(attempts) !== "Zoe,Zoe,Zoe,") {
    console.error("Not yet · Todavía no");
    process.exitCode = 1;
  }
}

main();
