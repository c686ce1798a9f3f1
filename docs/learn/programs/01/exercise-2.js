const { promisify } = require("node:util");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const { user } = grpc.loadPackageDefinition(loader.loadSync("proto/user.proto", { keepCase: true }));
const client = new user.UsuarioServicio("localhost:50051", grpc.credentials.createInsecure());
const getUser = promisify(client.GetUser).bind(client);

async function main() {
  const squares = [];
  const reply = await getUser({ name: "Aitana", pow: 1 }, { deadline: Date.now() + 10_000 });
  squares.push(Number(reply.user.pow_squared));
  client.close();

  console.log(`[${squares.join(", ")}]`);
  if (String(squares) !== "1,4,9") {
    console.error("Not yet · Todavía no");
    process.exitCode = 1;
  }
}

main();
