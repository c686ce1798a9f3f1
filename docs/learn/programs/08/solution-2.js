const fs = require("node:fs");
const { promisify } = require("node:util");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");
const { Proxy } = require("../07/proxy");

const files = ["conexiones/v1/images.proto", "conexiones/v1/uploads.proto"];
const definition = loader.loadSync(files, { keepCase: true, includeDirs: ["proto"] });
const { ImageService, UploadService } = grpc.loadPackageDefinition(definition).conexiones.v1;
const original = fs.readFileSync("client/image/elephant.jpg");

async function download(images, { id, size_bytes, etag }) {
  let data = Buffer.alloc(0);
  while (data.length < Number(size_bytes)) {
    const request = { id, offset: data.length, limit: 65_536, if_etag: etag };
    try {
      for await (const frame of images.DownloadImage(request, { deadline: Date.now() + 10_000 })) {
        data = Buffer.concat([data, frame.data]);
      }
    } catch (error) {
      if (error.code !== grpc.status.UNAVAILABLE) throw error;
    }
  }
  return data;
}

async function main() {
  const proxy = await new Proxy().listen({ cutAfter: 100_000 });
  const nobody = grpc.credentials.createInsecure();
  const uploads = new UploadService("localhost:50051", nobody);
  const images = new ImageService(proxy.address, nobody);
  const uploadImage = promisify(uploads.UploadImage).bind(uploads);
  const { image } = await uploadImage({ image: original }, { deadline: Date.now() + 10_000 });

  let received = Buffer.alloc(0);
  try {
    received = await download(images, image);
  } catch (error) {
    console.log(grpc.status[error.code]);
  }
  uploads.close();
  images.close();

  console.log(received.length);
  console.log("cut:", proxy.cuts > 0 ? "yes" : "no");
  if (!received.equals(original) || proxy.cuts === 0) {
    console.error("Not yet · Todavía no");
    process.exitCode = 1;
  }
}

main();
