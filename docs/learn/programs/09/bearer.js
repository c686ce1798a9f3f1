const fs = require("node:fs");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const { user } = grpc.loadPackageDefinition(loader.loadSync("proto/user.proto", { keepCase: true }));
const ca = fs.readFileSync("build/certs/ca.pem");
const token = fs.readFileSync("build/secure/admin-token", "utf8").trim();
const bearer = grpc.credentials.createFromMetadataGenerator((_, done) => {
  const metadata = new grpc.Metadata();
  metadata.set("authorization", `Bearer ${token}`);
  done(null, metadata);
});
const credentials = grpc.credentials.combineChannelCredentials(grpc.credentials.createSsl(ca), bearer);
const client = new user.UsuarioServicio("localhost:50443", credentials);

client.GetUser({ name: "Hugo", pow: 9 }, { deadline: Date.now() + 10_000 }, (error, reply) => {
  if (error) throw error;
  console.log(reply.message);
  client.close();
});
