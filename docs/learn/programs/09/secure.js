const fs = require("node:fs");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const { user } = grpc.loadPackageDefinition(loader.loadSync("proto/user.proto", { keepCase: true }));
const ca = fs.readFileSync("build/certs/ca.pem");
const client = new user.UsuarioServicio("localhost:50443", grpc.credentials.createSsl(ca));

client.GetUser({ name: "Hugo", pow: 9 }, { deadline: Date.now() + 10_000 }, (error) => {
  if (error) console.log(grpc.status[error.code], error.details);
  client.close();
});
