const fs = require("node:fs");
const crypto = require("node:crypto");
const { promisify } = require("node:util");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const options = { keepCase: true, defaults: true, enums: String, includeDirs: ["proto"] };
const definition = loader.loadSync("conexiones/v1/uploads.proto", options);
const { UploadService } = grpc.loadPackageDefinition(definition).conexiones.v1;
const client = new UploadService("localhost:50051", grpc.credentials.createInsecure());
const call = (method, request) =>
  promisify(client[method]).call(client, request, { deadline: Date.now() + 10_000 });

const image = fs.readFileSync("client/image/elephant.jpg");

async function main() {
  let { upload } = await call("CreateUpload", { request_id: crypto.randomUUID(), name: "elephant.jpg" });

  let offset = 0;
  while (offset < image.length) {
    const data = image.subarray(offset, offset + 65_536);
    const written = await call("WriteChunk", { upload_id: upload.id, offset, data });
    offset = Number(written.committed_size);
    console.log(offset);
  }

  const sha256 = crypto.createHash("sha256").update(image).digest();
  ({ upload } = await call("FinishUpload", { id: upload.id, size_bytes: image.length, sha256 }));
  console.log(upload.state, upload.image.width, upload.image.height);
  client.close();
}

main();
