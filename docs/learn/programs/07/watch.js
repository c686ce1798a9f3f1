const fs = require("node:fs");
const { promisify } = require("node:util");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");
const { Proxy } = require("./proxy");

const files = ["conexiones/v1/images.proto", "conexiones/v1/uploads.proto"];
const definition = loader.loadSync(files, { keepCase: true, includeDirs: ["proto"] });
const { ImageService, UploadService } = grpc.loadPackageDefinition(definition).conexiones.v1;
const config = fs.readFileSync("docs/learn/programs/07/retry.json", "utf8");
const image = fs.readFileSync("client/image/elephant.jpg");

async function main() {
  const proxy = await new Proxy().listen();
  const nobody = grpc.credentials.createInsecure();
  const uploads = new UploadService("localhost:50051", nobody);
  const images = new ImageService(proxy.address, nobody, { "grpc.service_config": config });
  const uploadImage = promisify(uploads.UploadImage).bind(uploads);
  const store = (name) => uploadImage({ image, user: "Bruna", name }, { deadline: Date.now() + 10_000 });

  let token;
  try {
    for await (const event of images.WatchImages({ user: "Bruna" }, { deadline: Date.now() + 60_000 })) {
      token = event.resume_token;
      if (event.heartbeat) {
        await store("one.jpg");
      } else if (event.stored) {
        console.log(event.stored.name);
        proxy.cut();
      }
    }
  } catch (error) {
    console.log(grpc.status[error.code]);
  }

  await store("two.jpg");
  const again = { user: "Bruna", resume_token: token };
  const call = images.WatchImages(again, { deadline: Date.now() + 60_000 });
  for await (const event of call) {
    if (event.stored) {
      console.log(event.stored.name);
      break;
    }
  }
  call.cancel();
  uploads.close();
  images.close();
}

main();
