const fs = require("node:fs");
const { promisify } = require("node:util");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const { user } = grpc.loadPackageDefinition(loader.loadSync("proto/user.proto", { keepCase: true }));
const { createInsecure, createSsl, createFromMetadataGenerator, combineChannelCredentials } = grpc.credentials;

const ca = fs.readFileSync("build/certs/ca.pem");
const stranger = createFromMetadataGenerator((_, done) => {
  const metadata = new grpc.Metadata();
  metadata.set("authorization", `Bearer cnx_${"0".repeat(49)}`);
  done(null, metadata);
});

async function main() {
  for (const credentials of [
    createInsecure(),
    createSsl(),
    combineChannelCredentials(createSsl(ca), stranger),
  ]) {
    const client = new user.UsuarioServicio("localhost:50443", credentials);
    try {
      await promisify(client.GetUser).call(client, { name: "Hugo" }, { deadline: Date.now() + 10_000 });
    } catch (error) {
      console.log(grpc.status[error.code]);
    }
    client.close();
  }
}

main();
