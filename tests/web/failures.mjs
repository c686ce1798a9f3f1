// Replies that tell failures, read by a connect-es client as generated, with nothing registered.
//
// node failures.mjs GEN ADDRESS PROTOCOL json|binary: prints, for each call, the failures that its replies tell.
import { randomUUID } from "node:crypto";
import { createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-web";

const [gen, address, protocol, format] = process.argv.slice(2);
const { UsuarioServicio } = await import(`${gen}/user_pb.js`);
const { UploadService } = await import(`${gen}/conexiones/v1/uploads_pb.js`);
const make = { connect: createConnectTransport, "grpc-web": createGrpcWebTransport }[protocol];
const transport = make({ baseUrl: `http://${address}`, useBinaryFormat: format === "binary" });
const uploads = createClient(UploadService, transport);
const text = new Uint8Array(Buffer.from("This is no image, but a text."));

/** An upload of bytes that are refused. */
async function rejected(data, sha256) {
  const { upload } = await uploads.createUpload({ requestId: randomUUID() });
  await uploads.writeChunk({ uploadId: upload.id, data }).catch(() => {});
  const finished = await uploads.finishUpload({ id: upload.id, sizeBytes: BigInt(data.length), sha256 });
  const asked = await uploads.getUpload({ id: upload.id });
  return [finished.upload.failure, asked.upload.failure];
}

/** What a program can do with a failure. */
function shown({ code, reason, message, mensaje, field, facts, retryDelay, imageProblem, checksumMismatch, details }) {
  const problem = imageProblem && { unit: imageProblem.unit, limit: Number(imageProblem.limit), format: imageProblem.format };
  const seconds = retryDelay && Number(retryDelay.seconds);
  return { code, reason, message, mensaje, field, facts, seconds, problem, algorithm: checksumMismatch?.algorithm, details: details.length };
}

const picture = Uint8Array.from(atob(process.env.PICTURE), (character) => character.charCodeAt(0));
const found = [...(await rejected(text)), ...(await rejected(picture, new Uint8Array(32)))];
if (protocol === "connect") {
  // Over HTTP/1.1, and from a browser, a stream of requests is one message: its envelope is written by hand.
  const json = format === "json";
  const body = json ? Buffer.from(JSON.stringify({ image: Buffer.from(text).toString("base64") })) : Buffer.from([10, text.length, ...text]);
  const head = Buffer.alloc(5);
  head.writeUInt32BE(body.length, 1);
  const type = `application/connect+${json ? "json" : "proto"}`;
  const url = `http://${address}/user.UsuarioServicio/ImageStreamReply`;
  const answer = await fetch(url, { method: "POST", headers: { "content-type": type }, body: Buffer.concat([head, body]) });
  const bytes = Buffer.from(await answer.arrayBuffer());
  const reply = bytes.subarray(5, 5 + bytes.readUInt32BE(1));
  const { fromBinary, fromJsonString } = await import("@bufbuild/protobuf");
  const schema = UsuarioServicio.method.imageStreamReply.output;
  found.push((json ? fromJsonString(schema, reply.toString()) : fromBinary(schema, reply)).error);
}
console.log(JSON.stringify(found.map(shown)));
