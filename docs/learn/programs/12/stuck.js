const { once } = require("node:events");
const net = require("node:net");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const contract = loader.loadSync("docs/learn/programs/12/health_check.proto", { enums: String });
const { health } = grpc.loadPackageDefinition(contract).grpc;

async function main() {
  const stuck = net.createServer(() => {});
  await once(stuck.listen(0, "localhost"), "listening");
  const { port } = stuck.address();

  const connection = net.connect(port, "localhost");
  await once(connection, "connect");
  connection.destroy();
  console.log("port: open");
  const client = new health.v1.Health(`localhost:${port}`, grpc.credentials.createInsecure());
  client.Check({}, { deadline: Date.now() + 1000 }, (error) => {
    console.log("health:", grpc.status[error.code]);
    process.exit();
  });
}

main();
