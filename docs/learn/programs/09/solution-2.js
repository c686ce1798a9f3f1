const fs = require("node:fs");
const { promisify } = require("node:util");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const files = ["conexiones/v1/access.proto", "conexiones/v1/images.proto"];
const definition = loader.loadSync(files, { keepCase: true, includeDirs: ["proto"] });
const { AdminService, ImageService } = grpc.loadPackageDefinition(definition).conexiones.v1;
const tls = grpc.credentials.createSsl(fs.readFileSync("build/certs/ca.pem"));

async function call(Service, method, token, request) {
  const bearer = grpc.credentials.createFromMetadataGenerator((_, done) => {
    const metadata = new grpc.Metadata();
    metadata.set("authorization", `Bearer ${token}`);
    done(null, metadata);
  });
  const client = new Service("localhost:50443", grpc.credentials.combineChannelCredentials(tls, bearer));
  try {
    return await promisify(client[method]).call(client, request, { deadline: Date.now() + 10_000 });
  } finally {
    client.close();
  }
}

const outcomes = [];

async function listImages(token) {
  try {
    await call(ImageService, "ListImages", token, {});
    outcomes.push("OK");
  } catch (error) {
    outcomes.push(grpc.status[error.code]);
  }
}

async function main() {
  const admin = fs.readFileSync("build/secure/admin-token", "utf8").trim();
  const request = { name: "visitor", scopes: ["SCOPE_READ"] };
  const { token, secret } = await call(AdminService, "CreateToken", admin, request);
  await listImages(secret);
  await call(AdminService, "RevokeToken", admin, { id: token.id });
  await listImages(secret);

  const { tokens } = await call(AdminService, "ListTokens", admin, { page_size: 1000 });
  const revoked = !tokens.some((valid) => valid.id === token.id);
  console.log(...outcomes);
  console.log("revoked:", revoked ? "yes" : "no");
  if (String(outcomes) !== "OK,UNAUTHENTICATED" || !revoked) {
    console.error("Not yet · Todavía no");
    process.exitCode = 1;
  }
}

main();
