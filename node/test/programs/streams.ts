// Sends all files of a folder by bare grpc-js, for the bench: the least time that small messages take here.
//
//     streams FOLDER     sends them over four calls of ImageStreamReply, and prints {"stored", "seconds"} as JSON
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import * as grpc from "@grpc/grpc-js";

import { GetImageReplySchema, GetImageSchema } from "../../src/gen/user_pb.js";

const STREAMS = 4;
/** Images of a stream without a reply. */
const MOST_OWED = 32;

const [folder = ""] = process.argv.slice(2);
const paths = (await readdir(folder)).map((name) => join(folder, name));
const start = performance.now();
const client = new grpc.Client(process.env["CONEXIONES_ADDRESS"] ?? "", grpc.credentials.createInsecure());
const same = (bytes: Buffer) => bytes;
let stored = 0;

async function stream(): Promise<void> {
  const call = client.makeBidiStreamRequest("/user.UsuarioServicio/ImageStreamReply", same, same);
  let owed = 0;
  let room: (() => void) | undefined;
  const ended = new Promise<void>((resolve, reject) => {
    call.on("data", (bytes: Buffer) => {
      if (fromBinary(GetImageReplySchema, bytes).imageInfo) stored += 1;
      owed -= 1;
      room?.();
    });
    call.on("end", resolve);
    call.on("error", reject);
  });
  for (let path = paths.pop(); path !== undefined; path = paths.pop()) {
    const image = await readFile(path);
    while (owed >= MOST_OWED) await new Promise<void>((resolve) => (room = resolve));
    owed += 1;
    call.write(Buffer.from(toBinary(GetImageSchema, create(GetImageSchema, { image }))));
  }
  call.end();
  await ended;
}

await Promise.all(Array.from({ length: STREAMS }, stream));
client.close();
console.log(JSON.stringify({ stored, seconds: (performance.now() - start) / 1000 }));
