const { promisify } = require("node:util");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");
const { Proxy } = require("./proxy");

const { user } = grpc.loadPackageDefinition(loader.loadSync("proto/user.proto", { keepCase: true }));
const nobody = grpc.credentials.createInsecure();
const NAMES = { 0: "DATA", 1: "HEADERS" };

/** Keeps what the server sent. */
class Listening extends Proxy {
  heard = Buffer.alloc(0);

  passing(data, toServer) {
    if (!toServer) this.heard = Buffer.concat([this.heard, data]);
    return data;
  }

  /** The types of HTTP/2 frames: three bytes of length, one of type, five more, and the content. */
  frames() {
    const types = [];
    for (let start = 0; start < this.heard.length; start += 9 + this.heard.readUIntBE(start, 3)) {
      types.push(this.heard[start + 3]);
    }
    return types.filter((type) => type in NAMES).map((type) => NAMES[type]);
  }
}

async function main() {
  const whole = await new Listening().listen();
  const first = new user.UsuarioServicio(whole.address, nobody);
  await promisify(first.GetUser).call(first, { name: "Carla" }, { deadline: Date.now() + 10_000 });
  first.close();

  const cut = await new Listening().listen();
  const second = new user.UsuarioServicio(cut.address, nobody);
  const call = second.GetUserBidiStream({ deadline: Date.now() + 10_000 });
  call.write({ name: "Carla" });
  try {
    for await (const _ of call) cut.cut();
  } catch (error) {
    console.log(grpc.status[error.code]);
  }
  second.close();

  console.log(...whole.frames());
  console.log(...cut.frames());
}

main();
