// Reads calls as JSON from standard input, sends them with @grpc/grpc-js to the given address, and prints one line of
// JSON for each: code, message, details and replies, with bytes as base64.
import { text } from "node:stream/consumers";
import grpc from "@grpc/grpc-js";

const DEADLINE_MS = 60_000;
const asIs = (bytes) => bytes;

const client = new grpc.Client(process.argv[2], grpc.credentials.createInsecure());
for (const call of JSON.parse(await text(process.stdin))) {
  console.log(JSON.stringify(await ask(call)));
}
client.close();

function ask({ path, messages, streams, repliesStream }) {
  return new Promise((resolve) => {
    const replies = [];
    const end = ({ code, details, metadata }) => {
      const [status] = metadata.get("grpc-status-details-bin");
      resolve({ code, message: details, details: base64(status ?? ""), replies: replies.map(base64) });
    };
    const one = (error, reply) => {
      if (error) return end(error);
      replies.push(reply);
      resolve({ code: 0, message: "", details: "", replies: replies.map(base64) });
    };
    const fixed = [path, asIs, asIs];
    const options = { deadline: Date.now() + DEADLINE_MS };
    const bytes = messages.map((message) => Buffer.from(message, "base64"));
    if (!streams) {
      client.makeUnaryRequest(...fixed, bytes[0], new grpc.Metadata(), options, one);
      return;
    }
    const request = repliesStream
      ? client.makeBidiStreamRequest(...fixed, new grpc.Metadata(), options)
      : client.makeClientStreamRequest(...fixed, new grpc.Metadata(), options, one);
    if (repliesStream) {
      request.on("data", (reply) => replies.push(reply));
      request.on("error", () => {}); // the event "status" tells the same
      request.on("status", end);
    }
    bytes.forEach((message) => request.write(message));
    request.end();
  });
}

function base64(bytes) {
  return Buffer.from(bytes).toString("base64");
}
