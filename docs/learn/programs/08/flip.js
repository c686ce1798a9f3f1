const crypto = require("node:crypto");
const { promisify } = require("node:util");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");
const { Proxy } = require("../07/proxy");

const definition = loader.loadSync("conexiones/v1/uploads.proto", { keepCase: true, includeDirs: ["proto"] });
const { UploadService } = grpc.loadPackageDefinition(definition).conexiones.v1;

/** Changes one bit: the lowest of byte 5,000 of those that go to the server. */
class Flipping extends Proxy {
  seen = 0;

  passing(data, toServer) {
    if (!toServer) return data;
    const place = 5_000 - this.seen;
    this.seen += data.length;
    if (place >= 0 && place < data.length) data[place] ^= 1;
    return data;
  }
}

// 60 × 60 black pixels, as in lesson 4
const image = Buffer.alloc(54 + 10_800);
image.write("BM");
image.writeUInt32LE(image.length, 2);
image.writeUInt32LE(54, 10);
image.writeUInt32LE(40, 14);
image.writeInt32LE(60, 18);
image.writeInt32LE(60, 22);
image.writeUInt16LE(1, 26);
image.writeUInt16LE(24, 28);
const sha256 = crypto.createHash("sha256").update(image).digest();

const outcome = (stored) => (stored.sha256.equals(sha256) ? "stored as sent" : "stored, changed");

async function main() {
  for (const request of [{ image }, { image, sha256 }]) {
    const proxy = await new Flipping().listen();
    const client = new UploadService(proxy.address, grpc.credentials.createInsecure());
    const uploadImage = () =>
      promisify(client.UploadImage).call(client, request, { deadline: Date.now() + 10_000 });
    try {
      const reply = await uploadImage();
      console.log(outcome(reply.image));
    } catch (error) {
      console.log(grpc.status[error.code]);
      const reply = await uploadImage();
      console.log(outcome(reply.image));
    }
    client.close();
  }
}

main();
