const { readFileSync } = require("node:fs");
const { promisify } = require("node:util");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");
const { serve } = require("../11/serve.cjs");

const files = ["conexiones/v1/access.proto", "conexiones/v1/uploads.proto"];
const contract = loader.loadSync(files, { keepCase: true, includeDirs: ["proto"] });
const { AdminService, UploadService } = grpc.loadPackageDefinition(contract).conexiones.v1;

const folder = "build/production";
const tls = grpc.credentials.createSsl(readFileSync(`${folder}/certs/ca.pem`));

function withToken(token) {
  return grpc.credentials.combineChannelCredentials(
    tls,
    grpc.credentials.createFromMetadataGenerator((_, done) => {
      const metadata = new grpc.Metadata();
      metadata.set("authorization", `Bearer ${token}`);
      done(null, metadata);
    }),
  );
}

async function main() {
  const server = await serve({
    "data-dir": `${folder}/data`,
    "auth": "required",
    "tls-cert": `${folder}/certs/server.pem`,
    "tls-key": `${folder}/certs/server.key`,
  });
  const address = server.address.replace("127.0.0.1", "localhost"); // Node.js warns of IP addresses with TLS
  const deadline = () => ({ deadline: Date.now() + 10_000 });
  const first = readFileSync(`${folder}/data/admin-token`, "utf8").trim();
  const admin = new AdminService(address, withToken(first));
  const wanted = { name: "shop", scopes: ["SCOPE_WRITE"] };
  const { secret } = await promisify(admin.CreateToken).call(admin, wanted, deadline());
  admin.close();

  const shop = new UploadService(address, withToken(secret));
  const request = { request_id: "elephant", image: readFileSync("client/image/elephant.jpg") };
  const reply = await promisify(shop.UploadImage).call(shop, request, deadline());
  console.log(Number(reply.image.size_bytes), "bytes stored");
  shop.close();
  await server.stop();
}

main();
