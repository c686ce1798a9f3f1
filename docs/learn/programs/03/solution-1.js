const crypto = require("node:crypto");
const fs = require("node:fs");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const { user } = grpc.loadPackageDefinition(loader.loadSync("proto/user.proto", { keepCase: true }));
const client = new user.UsuarioServicio("localhost:50051", grpc.credentials.createInsecure());

const image = fs.readFileSync("client/image/elephant.jpg");
const size = 1000;
const sizes = [];

const call = client.GetStreamImage({ deadline: Date.now() + 60_000 }, (error, reply) => {
  client.close();
  if (error) throw error;
  console.log(sizes.length, Math.max(...sizes));
  const whole = crypto.createHash("sha256").update(image).digest();
  if (sizes.length !== 318 || !reply.image_info.sha256.equals(whole)) {
    console.error("Not yet · Todavía no");
    process.exitCode = 1;
  }
});
for (let at = 0; at < image.length; at += size) {
  const piece = image.subarray(at, at + size);
  sizes.push(piece.length);
  call.write({ image: piece });
}
call.end();
