const fs = require("node:fs");
const { promisify } = require("node:util");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");
const { Proxy } = require("./proxy");

const files = ["conexiones/v1/images.proto", "conexiones/v1/uploads.proto"];
const definition = loader.loadSync(files, { keepCase: true, includeDirs: ["proto"] });
const { ImageService, UploadService } = grpc.loadPackageDefinition(definition).conexiones.v1;
const image = fs.readFileSync("client/image/elephant.jpg");

async function* watch(images, token) {
  const request = { user: "Fermín", resume_token: token };
  for await (const event of images.WatchImages(request, { deadline: Date.now() + 20_000 })) {
    if (event.stored) yield event.stored.name;
  }
}

async function main() {
  const proxy = await new Proxy().listen();
  const nobody = grpc.credentials.createInsecure();
  const uploads = new UploadService("localhost:50051", nobody);
  const images = new ImageService(proxy.address, nobody);
  const uploadImage = promisify(uploads.UploadImage).bind(uploads);

  const seen = [];
  let now;
  for await (const event of images.WatchImages({ user: "Fermín" }, { deadline: Date.now() + 20_000 })) {
    now = event.resume_token;
    break;
  }
  const events = watch(images, now);
  try {
    for (const name of ["one.jpg", "two.jpg", "three.jpg"]) {
      await uploadImage({ image, user: "Fermín", name }, { deadline: Date.now() + 10_000 });
      seen.push((await events.next()).value);
      proxy.cut();
    }
  } catch (error) {
    console.log(grpc.status[error.code]);
  }
  uploads.close();
  images.close();

  console.log(...seen);
  console.log("cuts:", proxy.cuts);
  if (String(seen) !== "one.jpg,two.jpg,three.jpg" || proxy.cuts !== 3) {
    console.error("Not yet · Todavía no");
    process.exitCode = 1;
  }
}

main();
