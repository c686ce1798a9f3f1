import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";

import { NotFoundError, UnavailableError } from "conexiones";
import type { Image, WatchEvent } from "conexiones";

import { asStored, bmp, brokenNetwork, client, photograph, silentNetwork } from "./support.js";

const conexiones = client();

async function some(count: number): Promise<{ user: string; images: Image[] }> {
  const user = randomUUID();
  const images: Image[] = [];
  for (let left = count; left > 0; left -= 1) images.push(await conexiones.upload(photograph, { user }));
  return { user, images };
}

/** The images that are stored and deleted, without their facts. */
async function* changes(events: AsyncIterable<WatchEvent>): AsyncGenerator<WatchEvent, void> {
  for await (const event of events) {
    if (event.kind === "stored") yield { ...event, image: asStored(event.image) };
    else if (event.kind !== "described") yield event;
  }
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}

describe("images", () => {
  it("of a user, newest first, over pages", async () => {
    const { user, images } = await some(5);
    const listed = await all(conexiones.images({ user, pageSize: 2 }));
    assert.deepEqual(listed.map(asStored), images.reverse().map(asStored));
  });

  it("of a time", async () => {
    const { user, images } = await some(3);
    const start = (images[1] as Image).createTime;
    const end = (images[2] as Image).createTime;
    const ids = (found: Image[]) => found.map(({ id }) => id);
    assert.deepEqual(ids(await all(conexiones.images({ user, start, end }))), [images[1]?.id]);
    assert.deepEqual(ids(await all(conexiones.images({ user, end: start }))), [images[0]?.id]);
  });

  it("one by its id, and its end", async () => {
    const { images } = await some(1);
    const [image] = images as [Image];
    assert.deepEqual(asStored(await conexiones.image(image.id)), asStored(image));
    await conexiones.delete(image.id);
    await assert.rejects(conexiones.image(image.id), NotFoundError);
    await assert.rejects(conexiones.delete(image.id), { reason: "IMAGE_NOT_FOUND" });
  });

  it("end once, wherever the connection breaks meanwhile", async () => {
    const { user, images } = await some(8);
    let broken = 0;
    for (const [index, { id }] of images.entries()) {
      const network = await brokenNetwork(20 + index * 40, 1);
      await client({ address: network.address }).delete(id);
      broken += network.broken;
    }
    assert.ok(broken >= 5, `${broken} connections`);
    assert.deepEqual(await all(conexiones.images({ user })), []);
  });
});

describe("watch", () => {
  const started = (user: string, options = {}, who = conexiones) => {
    const controller = new AbortController();
    let ready: (token: string) => void;
    const connected = new Promise<string>((resolve) => (ready = resolve));
    const { signal } = controller;
    const events = changes(who.watch({ user, signal, onHeartbeat: (token) => ready(token), ...options }));
    return { events, connected, controller };
  };

  it("tells what is stored and deleted, and goes on from a token", async () => {
    const user = randomUUID();
    const { events, connected } = started(user);
    const first = events.next();
    await connected;
    const image = await conexiones.upload(photograph, { user });
    const stored = (await first).value as WatchEvent;
    assert.deepEqual(stored, { kind: "stored", image: asStored(image), resumeToken: stored.resumeToken });
    await conexiones.delete(image.id);
    const deleted = (await events.next()).value as WatchEvent;
    assert.deepEqual(deleted, { kind: "deleted", id: image.id, resumeToken: deleted.resumeToken });
    await events.return();

    const again = started(user, { resumeToken: stored.resumeToken });
    assert.deepEqual((await again.events.next()).value, deleted);
    await again.events.return();
  });

  it("goes on after each of several events that come in one response", async () => {
    const user = randomUUID();
    const { events, connected } = started(user);
    const first = events.next();
    const begin = await connected;
    const ids: string[] = [];
    for (let left = 5; left > 0; left -= 1) ids.push((await conexiones.upload(photograph, { user })).id);
    await first;
    await events.return();
    let resumeToken = begin;
    // Each time, all events that are left are there already.
    for (const id of ids) {
      const rest = changes(conexiones.watch({ user, resumeToken }));
      const event = (await rest.next()).value as WatchEvent;
      assert.ok(event.kind === "stored");
      assert.equal(event.image.id, id);
      ({ resumeToken } = event);
      await rest.return();
    }
  });

  it("misses nothing while it connects again", async () => {
    const user = randomUUID();
    const network = await brokenNetwork(1_500, 2);
    const { events, connected, controller } = started(user, {}, client({ address: network.address }));
    const seen: string[] = [];
    const watching = (async () => {
      for await (const event of events) if (event.kind === "stored" && seen.push(event.image.id) === 20) break;
    })();
    await connected;
    const ids: string[] = [];
    for (let left = 20; left > 0; left -= 1) ids.push((await conexiones.upload(photograph, { user })).id);
    await watching;
    assert.deepEqual(seen, ids);
    assert.equal(network.broken, 2);
    controller.abort();
  });

  it("says where the history is gone", async () => {
    const user = randomUUID();
    const { events } = started(user, { resumeToken: "999999999999" });
    const { value: gap } = await events.next();
    assert.equal(gap?.kind, "resync");
    const next = events.next();
    const image = await conexiones.upload(photograph, { user });
    const stored = (await next).value as WatchEvent;
    assert.deepEqual(stored, { kind: "stored", image: asStored(image), resumeToken: stored.resumeToken });
    await events.return();
    // After the token of the resync, nothing is missing.
    const again = started(user, { resumeToken: gap.resumeToken });
    assert.deepEqual((await again.events.next()).value, stored);
    await again.events.return();
  });

  it("takes another connection when the heartbeat does not come", async () => {
    const user = randomUUID();
    const network = await silentNetwork();
    const { events, connected } = started(user, { silenceMs: 1_000 }, client({ address: network.address }));
    const next = events.next();
    await connected;
    network.hush();
    const image = await conexiones.upload(photograph, { user });
    const stored = (await next).value as WatchEvent;
    assert.deepEqual(stored, { kind: "stored", image: asStored(image), resumeToken: stored.resumeToken });
    assert.ok(network.connections > 1);
    await events.return();
  });

  it("gives up when its patience is at its end", async () => {
    const network = await silentNetwork();
    // On a busy machine, the first heartbeat may take a while: whoever gives up before it never connects.
    const times = { silenceMs: 2_000, patienceMs: 500 };
    const { events, connected } = started(randomUUID(), times, client({ address: network.address }));
    const next = events.next();
    next.catch(() => undefined);
    await Promise.race([connected, next]);
    network.hush();
    const hushing = setInterval(() => network.hush(), 10);
    await assert.rejects(next, UnavailableError);
    clearInterval(hushing);
  });

  it("ends with its signal", async () => {
    const { events, connected, controller } = started(randomUUID());
    const next = events.next();
    next.catch(() => undefined);
    await connected;
    controller.abort();
    await assert.rejects(next, { name: "AbortError" });
  });

  it("tells the facts of an image as soon as they are known", async () => {
    const user = randomUUID();
    const bytes = bmp(10_000);
    let image: Promise<Image> | undefined;
    const store = () => void (image ??= conexiones.upload(bytes, { user }));
    for await (const event of conexiones.watch({ user, onHeartbeat: store })) {
      if (event.kind !== "described") continue;
      const { id, facts } = event.image;
      assert.equal(id, (await image)?.id);
      const { problem, colorSpace, bitsPerSample, hasAlpha, dominantColor, blurHash } = facts ?? {};
      assert.deepEqual([problem, colorSpace, bitsPerSample, hasAlpha], ["", "RGB", 8, false]);
      assert.match(dominantColor ?? "", /^#[0-9a-f]{6}$/);
      assert.ok(blurHash);
      assert.deepEqual((await conexiones.image(id)).facts, facts);
      // If the bytes were stored before, the facts are there at once.
      const again = await conexiones.upload(bytes);
      assert.deepEqual((await conexiones.image(again.id)).facts, facts);
      break;
    }
  });

  it("wants a token of the server's own", async () => {
    await assert.rejects(conexiones.watch({ resumeToken: "nonsense" }).next(), { field: "resume_token" });
  });
});
