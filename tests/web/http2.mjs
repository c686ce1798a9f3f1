// Sends one request with node:http2, as clients that are built upon it do: the whole body in one write.
//
// node http2.mjs ADDRESS PATH CONTENT-TYPE FILE: prints the response's headers, trailers and body as JSON.
import { readFileSync } from "node:fs";
import { connect } from "node:http2";

const [address, path, type, file] = process.argv.slice(2);
const session = connect(`http://${address}`);
const stream = session.request({ ":method": "POST", ":path": path, "content-type": type, te: "trailers" });
const found = { headers: null, trailers: {}, body: "" };
stream.on("response", (headers) => (found.headers = headers));
stream.on("trailers", (trailers) => (found.trailers = trailers));
stream.on("data", (data) => (found.body += data.toString("latin1")));
stream.on("end", () => {
  console.log(JSON.stringify(found));
  process.exit(0);
});
stream.end(readFileSync(file));
