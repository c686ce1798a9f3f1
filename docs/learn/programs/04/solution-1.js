const fs = require("node:fs");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const { user } = grpc.loadPackageDefinition(loader.loadSync("proto/user.proto", { keepCase: true }));
const client = new user.UsuarioServicio("localhost:50051", grpc.credentials.createInsecure());

const image = fs.readFileSync("client/image/elephant.jpg");
const shown = [];
const steps = new Set();

const call = client.GetStreamImage({ deadline: Date.now() + 60_000 }, (error) => {
  client.close();
  if (error) throw error;
  console.log(...shown);
  const meanwhile = [0, 1, 2, 3].every((step) => steps.has(step));
  console.log("meanwhile:", meanwhile ? "yes" : "no");
  if (String(shown) !== "25,50,75,100" || !meanwhile) {
    console.error("Not yet · Todavía no");
    process.exitCode = 1;
  }
});
const send = (fragment) => {
  call.write(fragment);
  steps.add(shown.length);
};
for (let start = 0; start < image.length; start += 4096) {
  send({ image: image.subarray(start, start + 4096) });
  const sent = Math.min(start + 4096, image.length);
  while (shown.length < 4 && sent >= (image.length * (shown.length + 1)) / 4) shown.push(25 * (shown.length + 1));
}
call.end();
