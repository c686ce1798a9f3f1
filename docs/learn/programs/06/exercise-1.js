const { promisify } = require("node:util");
const { setTimeout: sleep } = require("node:timers/promises");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const { user } = grpc.loadPackageDefinition(loader.loadSync("proto/user.proto", { keepCase: true }));
const client = new user.UsuarioServicio("localhost:1", grpc.credentials.createInsecure());
const getUser = promisify(client.GetUser).bind(client);

const calls = [];

async function callWithRetries(attempts) {
  calls.push(1);
  return await getUser({ name: "Zoe" }, { deadline: Date.now() + 10_000 });
}

async function main() {
  try {
    await callWithRetries(3);
  } catch (error) {
    console.log(grpc.status[error.code], calls.length);
  }
  client.close();

  if (calls.length !== 3) {
    console.error("Not yet · Todavía no");
    process.exitCode = 1;
  }
}

main();
