const { once } = require("node:events");
const net = require("node:net");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const { user } = grpc.loadPackageDefinition(loader.loadSync("proto/user.proto", { keepCase: true }));

async function firstBytes(credentials) {
  const listener = net.createServer();
  await once(listener.listen(0, "localhost"), "listening");
  const client = new user.UsuarioServicio(`localhost:${listener.address().port}`, credentials);
  client.GetUser({ name: "Nora" }, { deadline: Date.now() + 10_000 }, () => {});
  const [connection] = await once(listener, "connection");
  const [bytes] = await once(connection, "data");
  client.close();
  connection.destroy();
  listener.close();
  return bytes;
}

async function main() {
  const preface = await firstBytes(grpc.credentials.createInsecure());
  console.log("without TLS:", preface.subarray(0, 14).toString());
  const hello = await firstBytes(grpc.credentials.createSsl());
  console.log("with TLS:", hello.toString("hex", 0, 3).replace(/..(?=.)/g, "$& "));
  console.log("localhost is readable:", hello.includes("localhost") ? "yes" : "no");
}

main();
