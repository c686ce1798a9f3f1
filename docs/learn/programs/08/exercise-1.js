const crypto = require("node:crypto");
const { promisify } = require("node:util");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const definition = loader.loadSync("conexiones/v1/uploads.proto", { keepCase: true, includeDirs: ["proto"] });
const { UploadService } = grpc.loadPackageDefinition(definition).conexiones.v1;
const client = new UploadService("localhost:50051", grpc.credentials.createInsecure());
const call = (method, request) =>
  promisify(client[method]).call(client, request, { deadline: Date.now() + 10_000 });

const sent = [];

async function create(request) {
  sent.push(request);
  const { upload } = await call("CreateUpload", request);
  return upload.id;
}

async function begin() {
  return await create({ request_id: crypto.randomUUID(), size_bytes: 317_645 });
}

async function main() {
  const uploads = new Set([await begin(), await begin()]);
  for (const id of uploads) await call("CancelUpload", { id });
  client.close();

  console.log("calls:", sent.length);
  console.log("uploads:", uploads.size);
  if (sent.length !== 2 || uploads.size !== 1) {
    console.error("Not yet · Todavía no");
    process.exitCode = 1;
  }
}

main();
