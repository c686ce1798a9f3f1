const fs = require("node:fs");
const { Transform } = require("node:stream");
const { pipeline } = require("node:stream/promises");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const { user } = grpc.loadPackageDefinition(loader.loadSync("proto/user.proto", { keepCase: true }));
const client = new user.UsuarioServicio("localhost:50051", grpc.credentials.createInsecure());

const call = client.GetStreamImage({ deadline: Date.now() + 60_000 }, (error, reply) => {
  client.close();
  if (error) throw error;
  console.log(reply.image_info.format, String(reply.image_info.size_bytes));
  console.log(Math.floor(process.resourceUsage().maxRSS / 1024), "MiB");
});
const messages = new Transform({
  readableObjectMode: true,
  readableHighWaterMark: 1,
  transform: (image, _encoding, done) => done(null, { image }),
});
pipeline(fs.createReadStream("build/large.bmp"), messages, call);
