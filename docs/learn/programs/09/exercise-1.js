const fs = require("node:fs");
const { promisify } = require("node:util");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const files = ["user.proto", "conexiones/v1/access.proto", "conexiones/v1/images.proto"];
const definition = loader.loadSync(files, { keepCase: true, enums: String, includeDirs: ["proto"] });
const { user, conexiones } = grpc.loadPackageDefinition(definition);
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

const request = { name: "gallery", scopes: ["SCOPE_WRITE"] };

async function main() {
  const { AdminService, ImageService } = conexiones.v1;
  const admin = fs.readFileSync("build/secure/admin-token", "utf8").trim();
  const { secret, token } = await call(AdminService, "CreateToken", admin, request);

  const outcomes = [];
  for (const [Service, method, message] of [
    [ImageService, "ListImages", {}],
    [user.UsuarioServicio, "GetUser", { name: "Irene" }],
  ]) {
    try {
      await call(Service, method, secret, message);
      outcomes.push("OK");
    } catch (error) {
      outcomes.push(grpc.status[error.code]);
    }
  }

  const seconds = token.expire_time && token.expire_time.seconds - token.create_time.seconds;
  console.log(...outcomes, ...token.scopes, seconds ? `ends after ${Math.floor(seconds / 60)} minutes` : "never ends");
  if (String(outcomes) !== "OK,PERMISSION_DENIED" || String(token.scopes) !== "SCOPE_READ" || seconds !== 3600) {
    console.error("Not yet · Todavía no");
    process.exitCode = 1;
  }
}

main();
