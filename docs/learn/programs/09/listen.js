const fs = require("node:fs");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");
const { Proxy } = require("../07/proxy");

const { user } = grpc.loadPackageDefinition(loader.loadSync("proto/user.proto", { keepCase: true }));

/** Keeps what the client sent. */
class Listening extends Proxy {
  heard = Buffer.alloc(0);

  passing(data, toServer) {
    if (toServer) this.heard = Buffer.concat([this.heard, data]);
    return data;
  }
}

async function main() {
  const ca = fs.readFileSync("build/certs/ca.pem");
  const plain = await new Listening().listen({ server: "localhost:50051" });
  const secure = await new Listening().listen({ server: "localhost:50443" });
  for (const [proxy, credentials] of [
    [plain, grpc.credentials.createInsecure()],
    [secure, grpc.credentials.createSsl(ca)],
  ]) {
    const client = new user.UsuarioServicio(proxy.address, credentials);
    const code = await new Promise((done) => {
      client.GetUser({ name: "Hugo" }, { deadline: Date.now() + 10_000 }, (error) => done(error?.code ?? 0));
    });
    client.close();
    const start = proxy.heard.toString("hex", 0, 3).replace(/..(?=.)/g, "$& ");
    console.log(grpc.status[code], start, proxy.heard.includes("Hugo") ? "Hugo" : "?");
  }
}

main();
