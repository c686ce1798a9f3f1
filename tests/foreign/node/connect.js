// The calls of both APIs by connect-es, in each of its protocols, formats and versions of HTTP.
import { randomUUID } from "node:crypto";
import { createClient } from "@connectrpc/connect";
import { compressionGzip, createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";

import { ImageService } from "./es/conexiones/v1/images_pb.js";
import { Upload_State, UploadService } from "./es/conexiones/v1/uploads_pb.js";
import { BadRequestSchema, ErrorInfoSchema } from "./es/google/rpc/error_details_pb.js";
import { UsuarioServicio } from "./es/user_pb.js";
import * as seen from "./seen.js";

const [protocol, ...words] = seen.kind.split(", ");
const json = words.includes("JSON");
const http2 = words.includes("HTTP/2");
const chunk = 1 << 20;

function transport(at, options = {}) {
  const create = { Connect: createConnectTransport, gRPC: createGrpcTransport, "gRPC-Web": createGrpcWebTransport }[protocol];
  return create({
    baseUrl: seen.url(at),
    httpVersion: http2 ? "2" : "1.1",
    nodeOptions: seen.secure,
    useBinaryFormat: !json,
    ...options,
  });
}

const plain = transport(seen.address);
const usuario = createClient(UsuarioServicio, plain);
const images = createClient(ImageService, plain);
const uploads = createClient(UploadService, plain);

async function whole(client, image) {
  return seen.described((await client.processImage({ image })).imageInfo);
}

/** Over HTTP/1.1 all requests come before the first reply, over HTTP/2 each waits for the reply to the one before. */
async function conversation(call, messages, answer) {
  const requests = new seen.Requests();
  const turns = [...messages];
  if (!http2) turns.splice(0).forEach((message) => requests.push(message));
  else requests.push(turns.shift());
  const found = [];
  if (turns.length === 0) requests.close();
  for await (const reply of call(requests)) {
    found.push(answer(reply));
    if (turns.length > 0) requests.push(turns.shift());
    else requests.close();
  }
  return found.join(", ");
}

async function refused(call) {
  try {
    await call;
    return "not refused";
  } catch (error) {
    const [info] = error.findDetails(ErrorInfoSchema);
    const [bad] = error.findDetails(BadRequestSchema);
    return [error.code, info?.reason ?? error.message, ...(bad ? [bad.fieldViolations[0].field] : [])].join(" ");
  }
}

/** Uploads what is no image, and reads why it is none from the outcome. */
async function rejected() {
  const data = Buffer.from("no image");
  const { upload } = await uploads.createUpload({ requestId: randomUUID() });
  await uploads.writeChunk({ uploadId: upload.id, data }).catch(() => {}); // may be refused already
  const finished = await uploads.finishUpload({ id: upload.id, sizeBytes: BigInt(data.length) });
  return `${Upload_State[finished.upload.state]} ${finished.upload.failure.reason}`;
}

async function late() {
  try {
    for await (const _ of images.watchImages({}, { timeoutMs: 300 }));
    return "not ended";
  } catch (error) {
    return error.code;
  }
}

let image = "";

/** Sends the bytes, and goes on from the committed size when the connection breaks. */
async function upload(client, write) {
  const { upload } = await client.createUpload({ requestId: randomUUID(), sizeBytes: BigInt(seen.large.length) });
  const resumed = await seen.again(() => write(client, upload.id));
  const sizeBytes = BigInt(seen.large.length);
  const finished = await client.finishUpload({ id: upload.id, sizeBytes, sha256: seen.sha256(seen.large) });
  image = finished.upload.image?.id;
  return `${Upload_State[finished.upload.state]}, resumed ${resumed}`;
}

/** All that is left in one stream. Works in HTTP/2 only, where replies come while requests are sent. */
async function stream(client, uploadId) {
  const requests = new seen.Requests();
  requests.push({ uploadId });
  let begun = false;
  for await (const { committedSize } of client.writeStream(requests)) {
    if (begun) continue;
    begun = true;
    let offset = Number(committedSize);
    for (const data of seen.parts(seen.large, chunk, offset)) {
      requests.push({ offset: BigInt(offset), data });
      offset += data.length;
    }
    requests.close();
  }
}

/** A call for each chunk. */
async function calls(client, uploadId) {
  const { upload } = await client.getUpload({ id: uploadId });
  let offset = Number(upload.committedSize);
  for (const data of seen.parts(seen.large, chunk, offset)) {
    const reply = await client.writeChunk({ uploadId, offset: BigInt(offset), data });
    offset = Number(reply.committedSize);
  }
}

await seen.run("GetUser", async () => (await usuario.getUser({ name: "Zoé", pow: 3 })).message);
await seen.run("ProcessImage", () => whole(usuario, seen.photo));
await seen.run("GetStreamImage", async () => {
  async function* fragments() {
    for (const image of seen.parts(seen.photo, 4 << 10)) yield { image };
  }
  return seen.described((await usuario.getStreamImage(fragments())).imageInfo);
});
await seen.run("ImageStreamReply", () =>
  conversation(
    (requests) => usuario.imageStreamReply(requests),
    [seen.photo, Buffer.from("no image"), seen.photo].map((image) => ({ image })),
    ({ imageInfo, error }) => imageInfo?.format ?? error.reason,
  ),
);
await seen.run("GetUserBidiStream", () =>
  conversation(
    (requests) => usuario.getUserBidiStream(requests),
    [7, 65536].map((pow) => ({ name: "Iñaki", pow, image: seen.photo })),
    seen.answered,
  ),
);
await seen.run("error", () => refused(usuario.getUser({})));
await seen.run("too large", async () => {
  const { maxMessageBytes } = await uploads.getLimits({});
  return await refused(usuario.processImage({ image: Buffer.alloc(Number(maxMessageBytes)) }));
});
await seen.run("rejected", rejected);
await seen.run("deadline", late);
await seen.run("large", () => whole(usuario, seen.large));
const zipping = transport(seen.address, { sendCompression: compressionGzip });
await seen.run("gzip", () => whole(createClient(UsuarioServicio, zipping), seen.large));
await seen.run("upload", () => upload(createClient(UploadService, transport(seen.proxy)), http2 ? stream : calls));
await seen.run("download", () => seen.digest(images.downloadImage({ id: image })));
