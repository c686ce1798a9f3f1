const assert = require("node:assert");
const { serve } = require("./serve.cjs");
const { square } = require("./square.js");

async function main() {
  const server = await serve();
  assert.strictEqual(await square(server.address, "Nora", 12), 144);
  await server.stop();

  console.log("passed");
}

main();
