const assert = require("node:assert");
const { after, before, test } = require("node:test");
const grpc = require("@grpc/grpc-js");
const { serve } = require("./serve.cjs");
const { square } = require("./square.js");

let server;
before(async () => {
  server = await serve();
});
after(() => server.stop());

test("squares", async () => {
  assert.strictEqual(await square(server.address, "Nora", 12), 144);
});

test("an empty name is refused", async () => {
  await assert.rejects(square(server.address, "", 12), { code: grpc.status.INVALID_ARGUMENT });
});

test("what was stored survives a crash", async () => {
  await square(server.address, "Olga", 7);
  await server.kill();
  await server.start();
  assert.strictEqual(await square(server.address, "Olga", 0), 49);
});
