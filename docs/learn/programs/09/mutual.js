const fs = require("node:fs");
const { promisify } = require("node:util");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const { user } = grpc.loadPackageDefinition(loader.loadSync("proto/user.proto", { keepCase: true }));
const [ca, serverCert, serverKey, clientCert, clientKey] = [
  "ca.pem",
  "server.pem",
  "server.key",
  "client.pem",
  "client.key",
].map((name) => fs.readFileSync(`build/certs/${name}`));

const server = new grpc.Server();
server.addService(user.UsuarioServicio.service, {
  GetUser(call, reply) {
    const name = call.getAuthContext().sslPeerCertificate.subject.CN;
    reply(null, { message: `Hello, ${name}` });
  },
});

async function main() {
  const pair = { private_key: serverKey, cert_chain: serverCert };
  const required = grpc.ServerCredentials.createSsl(ca, [pair], true);
  const port = await promisify(server.bindAsync).call(server, "localhost:0", required);
  for (const credentials of [
    grpc.credentials.createSsl(ca, clientKey, clientCert),
    grpc.credentials.createSsl(ca),
  ]) {
    const client = new user.UsuarioServicio(`localhost:${port}`, credentials);
    try {
      const getUser = promisify(client.GetUser).bind(client);
      const reply = await getUser({ name: "Hugo" }, { deadline: Date.now() + 10_000 });
      console.log(reply.message);
    } catch (error) {
      console.log(grpc.status[error.code]);
    }
    client.close();
  }
  server.forceShutdown();
}

main();
