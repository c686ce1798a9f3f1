const fs = require("node:fs");
const crypto = require("node:crypto");
const { promisify } = require("node:util");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");
const { Proxy } = require("../07/proxy");

const options = { keepCase: true, defaults: true, enums: String, includeDirs: ["proto"] };
const definition = loader.loadSync("conexiones/v1/uploads.proto", options);
const { UploadService } = grpc.loadPackageDefinition(definition).conexiones.v1;
const image = fs.readFileSync("client/image/elephant.jpg");

async function main() {
  const proxy = await new Proxy().listen({ cutAfter: 180_000 });
  const client = new UploadService(proxy.address, grpc.credentials.createInsecure());
  const call = (method, request) =>
    promisify(client[method]).call(client, request, { deadline: Date.now() + 10_000 });

  let { upload } = await call("CreateUpload", { request_id: crypto.randomUUID(), name: "elephant.jpg" });

  let offset; // undefined: the server knows
  while (offset !== image.length) {
    try {
      if (offset === undefined) {
        const found = await call("GetUpload", { id: upload.id });
        offset = Number(found.upload.committed_size);
        console.log("from", offset);
      }
      const data = image.subarray(offset, offset + 65_536);
      const written = await call("WriteChunk", { upload_id: upload.id, offset, data });
      offset = Number(written.committed_size);
      console.log(offset);
    } catch (error) {
      if (error.code !== grpc.status.UNAVAILABLE) throw error;
      offset = undefined;
    }
  }

  const sha256 = crypto.createHash("sha256").update(image).digest();
  ({ upload } = await call("FinishUpload", { id: upload.id, size_bytes: image.length, sha256 }));
  console.log(upload.state, Number(upload.image.size_bytes));
  client.close();
}

main();
