// Reads an image by bare grpc-js and throws it away, for the bench: the least time that messages take here.
//
//     discard ID     prints {"seconds"} as JSON
import * as grpc from "@grpc/grpc-js";
import { create, toBinary } from "@bufbuild/protobuf";

import { DownloadImageRequestSchema } from "../../src/gen/conexiones/v1/images_pb.js";

const start = performance.now();
const client = new grpc.Client(process.env["CONEXIONES_ADDRESS"] ?? "", grpc.credentials.createInsecure(), {
  "grpc.max_receive_message_length": 16 << 20,
  "grpc-node.flow_control_window": 4 << 20,
});
const request = Buffer.from(toBinary(DownloadImageRequestSchema, create(DownloadImageRequestSchema, { id: process.argv[2] ?? "" })));
const same = (bytes: Buffer) => bytes;
const call = client.makeServerStreamRequest("/conexiones.v1.ImageService/DownloadImage", same, same, request);
call.resume();
await new Promise((resolve, reject) => {
  call.on("end", resolve);
  call.on("error", reject);
});
client.close();
console.log(JSON.stringify({ seconds: (performance.now() - start) / 1000 }));
