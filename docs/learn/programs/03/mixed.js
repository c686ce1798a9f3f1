const fs = require("node:fs");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const { user } = grpc.loadPackageDefinition(loader.loadSync("proto/user.proto", { keepCase: true }));
const client = new user.UsuarioServicio("localhost:50051", grpc.credentials.createInsecure());

const photograph = fs.readFileSync("client/image/elephant.jpg");
const letter = Buffer.from("Querida Ada");

const call = client.ImageStreamReply({ deadline: Date.now() + 60_000 });
call.on("data", (reply) => console.log(reply.error?.reason ?? reply.image_info.format));
call.on("end", () => client.close());
for (const image of [photograph, letter, photograph]) call.write({ image });
call.end();
