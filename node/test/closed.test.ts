import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { describe, it } from "node:test";
import { promisify } from "node:util";

import { Client } from "conexiones";

import { address, client, elephant, photograph } from "./support.js";

describe("a client that was closed", () => {
  it("refuses every call, and says why", async () => {
    const closed = new Client(address);
    await closed.limits();
    closed.close();
    closed.close();
    const calls: Record<string, () => Promise<unknown>> = {
      limits: () => closed.limits(),
      upload: () => closed.upload(photograph),
      download: () => closed.download("none"),
      images: () => closed.images().next(),
      watch: () => closed.watch().next(),
      processImage: () => closed.processImage(photograph),
      streamImage: () => closed.streamImage(photograph),
      imageStream: () => closed.imageStream([photograph]).next(),
      userStream: () => closed.userStream([{ name: "Ada" }]).next(),
      tokens: () => closed.tokens().next(),
    };
    for (const [name, call] of Object.entries(calls)) await assert.rejects(call(), { message: "The client is closed." }, name);
  });

  it("watches no longer", { timeout: 60_000 }, async () => {
    const user = `closed-${process.pid}`;
    const closing = client();
    const waiting = closing.watch({ user: `${user}-other` });
    const [held, listens] = await new Promise<[ReturnType<Client["watch"]>, Promise<unknown>]>((resolve) => {
      const watching = closing.watch({ user, onHeartbeat: () => resolve([watching, first]) });
      const first = watching.next();
    });
    const { id } = await closing.upload(photograph, { user });
    await listens; // and from here on, nobody asks for its next event
    const next = waiting.next();
    closing.close();
    await assert.rejects(next, { message: "The client is closed." });
    const rest = async () => {
      while (!(await held.next()).done); // events that came before
    };
    await assert.rejects(rest, { message: "The client is closed." });
    const other = client();
    await other.delete(id);
  });

  it("lets its process end though somebody holds a watch", { timeout: 60_000 }, async () => {
    const program = `
      import { Client } from "conexiones";
      const client = new Client(process.env.CONEXIONES_ADDRESS);
      const user = "closed-" + process.pid;
      let stored;
      const watching = client.watch({ user, onHeartbeat: () => (stored ??= client.upload(process.argv[1], { user })) });
      const { value } = await watching.next();
      await stored;
      await client.delete(value.image.id);
      client.close();
      console.log(value.kind);`;
    const args = ["--input-type=module", "--eval", program, elephant.pathname];
    const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 50_000 });
    assert.equal(stdout, "stored\n");
  });

  it("finishes the call that was under way", async () => {
    const closing = client();
    const limits = closing.limits();
    closing.close();
    assert.ok((await limits).maxImageBytes > 0);
  });
});
