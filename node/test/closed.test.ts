import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { Client } from "conexiones";

import { address, client, photograph } from "./support.js";

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

  it("finishes the call that was under way", async () => {
    const closing = client();
    const limits = closing.limits();
    closing.close();
    assert.ok((await limits).maxImageBytes > 0);
  });
});
