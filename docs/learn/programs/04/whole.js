const fs = require("node:fs");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const { user } = grpc.loadPackageDefinition(loader.loadSync("proto/user.proto", { keepCase: true }));
const client = new user.UsuarioServicio("localhost:50051", grpc.credentials.createInsecure());

const request = { image: fs.readFileSync("build/large.bmp") };
client.ProcessImage(request, { deadline: Date.now() + 60_000 }, (error, reply) => {
  if (error) console.log(grpc.status[error.code], error.details);
  else console.log(reply.message);
  console.log(Math.floor(process.resourceUsage().maxRSS / 1024), "MiB");
  client.close();
});
