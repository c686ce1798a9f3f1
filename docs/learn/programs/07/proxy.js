const net = require("node:net");
const { once } = require("node:events");
const readline = require("node:readline");

/** Passes bytes on between clients and a server, until it cuts their connections. */
class Proxy {
  ends = new Set();
  passed = 0;
  cuts = 0;

  async listen({ address = "localhost:0", server = "localhost:50051", cutAfter = Infinity } = {}) {
    this.cutAfter = cutAfter;
    const listener = net.createServer((client) => {
      const [host, port] = server.split(":");
      const upstream = net.connect(Number(port), host);
      this.passOn(client, upstream, true);
      this.passOn(upstream, client, false);
    });
    const [host, port] = address.split(":");
    await once(listener.listen(Number(port), host), "listening");
    listener.unref();
    this.address = `${host}:${listener.address().port}`;
    return this;
  }

  passOn(source, target, toServer) {
    this.ends.add(source);
    source.on("data", (data) => {
      this.passed += data.length;
      if (this.passed > this.cutAfter) this.cut();
      else target.write(this.passing(data, toServer));
    });
    source.on("error", () => {});
    source.on("close", () => {
      this.ends.delete(source);
      target.destroy();
    });
  }

  /** What is passed on instead of the data. */
  passing(data, toServer) {
    return data;
  }

  /** Cuts all connections. New ones are welcome. */
  cut() {
    if (this.ends.size > 0) this.cuts++;
    for (const end of this.ends) end.destroy();
    this.passed = 0;
  }
}

async function main() {
  const proxy = await new Proxy().listen({ address: "localhost:50052" });
  console.log("localhost:50052 → localhost:50051, Enter: ✂");
  for await (const _ of readline.createInterface({ input: process.stdin })) proxy.cut();
  process.exit();
}

module.exports = { Proxy };
if (require.main === module) main();
