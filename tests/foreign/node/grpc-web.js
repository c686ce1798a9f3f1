// The calls that grpc-web has (one request each), as text and as binary. Browsers have the XMLHttpRequest that it needs,
// and certificates of their own.
import { randomUUID } from "node:crypto";
import { Agent } from "node:https";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import grpcWeb from "grpc-web";
import XMLHttpRequest from "xhr2";

import * as images from "./es/conexiones/v1/images_pb.js";
import * as uploads from "./es/conexiones/v1/uploads_pb.js";
import * as details from "./es/google/rpc/error_details_pb.js";
import { StatusSchema } from "./es/google/rpc/status_pb.js";
import * as user from "./es/user_pb.js";
import * as seen from "./seen.js";

globalThis.XMLHttpRequest = XMLHttpRequest;
if (seen.secure) XMLHttpRequest.nodejsSet({ httpsAgent: new Agent(seen.secure) });
const { GrpcWebClientBase, MethodDescriptor, MethodType } = grpcWeb;
const client = new GrpcWebClientBase({ format: seen.kind });
const chunk = 1 << 20;

function described(method) {
  const kind = method.methodKind === "unary" ? MethodType.UNARY : MethodType.SERVER_STREAMING;
  return new MethodDescriptor(
    `/${method.parent.typeName}/${method.name}`,
    kind,
    Object,
    Object,
    (request) => toBinary(method.input, request),
    (bytes) => fromBinary(method.output, bytes),
  );
}

function call(method, request, { at = seen.address, metadata = {} } = {}) {
  const descriptor = described(method);
  return client.unaryCall(seen.url(at) + descriptor.getName(), create(method.input, request), metadata, descriptor);
}

/** The replies of a stream, once it has ended. */
function stream(method, request, metadata = {}) {
  const descriptor = described(method);
  const replies = client.serverStreaming(seen.url(seen.address) + descriptor.getName(), create(method.input, request), metadata, descriptor);
  return new Promise((resolve, reject) => {
    const found = [];
    replies.on("data", (reply) => found.push(reply));
    replies.on("error", reject);
    replies.on("end", () => resolve(found));
  });
}

async function refused(method, request) {
  try {
    await call(method, request);
    return "not refused";
  } catch (error) {
    const status = fromBinary(StatusSchema, Buffer.from(error.metadata["grpc-status-details-bin"], "base64"));
    const found = (schema) => {
      const detail = status.details.find(({ typeUrl }) => typeUrl.endsWith(`/${schema.typeName}`));
      return detail && fromBinary(schema, detail.value);
    };
    const bad = found(details.BadRequestSchema);
    const { reason } = found(details.ErrorInfoSchema);
    return [error.code, reason, ...(bad ? [bad.fieldViolations[0].field] : [])].join(" ");
  }
}

/** Uploads what is no image, and reads why it is none from the outcome. */
async function rejected() {
  const { createUpload, writeChunk, finishUpload } = uploads.UploadService.method;
  const data = Buffer.from("no image");
  const { upload } = await call(createUpload, { requestId: randomUUID() });
  await call(writeChunk, { uploadId: upload.id, data }).catch(() => {}); // may be refused already
  const finished = await call(finishUpload, { id: upload.id, sizeBytes: BigInt(data.length) });
  return `${uploads.Upload_State[finished.upload.state]} ${finished.upload.failure.reason}`;
}

async function late() {
  try {
    await stream(images.ImageService.method.watchImages, {}, { deadline: String(Date.now() + 300) });
    return "not ended";
  } catch (error) {
    return error.code;
  }
}

let image = "";

/** A call for each chunk, which goes on from the committed size when the connection breaks. */
async function upload() {
  const { createUpload, getUpload, writeChunk, finishUpload } = uploads.UploadService.method;
  const through = { at: seen.proxy };
  const sizeBytes = BigInt(seen.large.length);
  const { upload } = await call(createUpload, { requestId: randomUUID(), sizeBytes }, through);
  const resumed = await seen.again(async () => {
    let offset = Number((await call(getUpload, { id: upload.id }, through)).upload.committedSize);
    for (const data of seen.parts(seen.large, chunk, offset)) {
      const reply = await call(writeChunk, { uploadId: upload.id, offset: BigInt(offset), data }, through);
      offset = Number(reply.committedSize);
    }
  });
  const finished = await call(finishUpload, { id: upload.id, sizeBytes, sha256: seen.sha256(seen.large) }, through);
  image = finished.upload.image?.id;
  return `${uploads.Upload_State[finished.upload.state]}, resumed ${resumed}`;
}

const { getUser, processImage } = user.UsuarioServicio.method;
const process = async (image) => seen.described((await call(processImage, { image })).imageInfo);

await seen.run("GetUser", async () => (await call(getUser, { name: "Zoé", pow: 3 })).message);
await seen.run("ProcessImage", () => process(seen.photo));
await seen.run("error", () => refused(getUser, {}));
await seen.run("too large", async () => {
  const { maxMessageBytes } = await call(uploads.UploadService.method.getLimits, {});
  return await refused(processImage, { image: Buffer.alloc(Number(maxMessageBytes)) });
});
await seen.run("rejected", rejected);
await seen.run("deadline", late);
await seen.run("large", () => process(seen.large));
await seen.run("upload", upload);
await seen.run("download", async () => seen.digest(await stream(images.ImageService.method.downloadImage, { id: image })));
