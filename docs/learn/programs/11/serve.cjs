const { spawn } = require("node:child_process");
const { once } = require("node:events");
const { mkdtempSync, rmSync } = require("node:fs");
const { tmpdir } = require("node:os");
const { join } = require("node:path");
const { createInterface } = require("node:readline");

// Starts a server on a free port, with an empty folder. `settings` are flags of `conexiones serve` by name.
exports.serve = async (settings = {}) => {
  const folder = mkdtempSync(join(tmpdir(), "test-"));
  const flags = { "address": "127.0.0.1:0", "data-dir": folder, ...settings };
  const server = {
    async start() {
      const texts = Object.entries(flags).flatMap(([name, value]) => [`--${name}`, value]);
      server.child = spawn("conexiones", ["serve", ...texts], { stdio: ["ignore", "pipe", "ignore"] });
      for await (const line of createInterface({ input: server.child.stdout })) {
        if (!line.includes(" listens on ")) continue;
        flags.address = server.address = line.match(/ listens on (\S+)/)[1];
        server.adminAddress = line.match(/\/readyz at (\S+)/)?.[1];
        server.child.stdout.resume();
        return;
      }
      throw new Error("the server did not start");
    },
    async kill(signal = "SIGKILL") {
      const ended = once(server.child, "close"); // all of its processes have ended
      server.child.kill(signal);
      await ended;
    },
    async stop() {
      await server.kill("SIGTERM");
      rmSync(folder, { recursive: true });
    },
  };
  process.once("exit", () => server.child.kill("SIGKILL")); // a test that fails leaves no server behind
  await server.start();
  return server;
};
