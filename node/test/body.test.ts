// The rest of a large image by HTTP: used where it can be had, and missed by nobody where it cannot.
import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import { createWriteStream } from "node:fs";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { connect, createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";

import type { Image, Progress } from "conexiones";

import { LEAST_BYTES } from "../src/body.js";
import { address, asStored, bmp, client, folder, MiB } from "./support.js";

const bytes = bmp(LEAST_BYTES + 6 * MiB);
let image: Image;
before(async () => {
  image = await client().upload(bytes);
});

/** What a relay does with the server's answer to a GET: `near` is the client's connection, `far` the server's. */
type Answer = (near: Socket, far: Socket) => void;

const passOn: Answer = (near, far) => void far.pipe(near);

/** Passes on the answer with each piece of it changed. */
function changed(change: (piece: Buffer, passed: number) => Buffer | undefined): Answer {
  return (near, far) => {
    let passed = 0;
    far.on("data", (piece: Buffer) => {
      const sent = change(piece, passed);
      passed += piece.length;
      if (!sent) near.destroy();
      else if (!near.write(sent)) {
        far.pause();
        near.once("drain", () => far.resume());
      }
    });
    far.on("end", () => near.end());
  };
}

/** Changes the head of the answer, which is in its first piece. */
function headed(from: string | RegExp, to: string): Answer {
  return changed((piece, passed) => (passed ? piece : Buffer.from(piece.toString("latin1").replace(from, to), "latin1")));
}

function damaged(piece: Buffer): Buffer {
  const other = Buffer.from(piece);
  other.writeUInt8(other.readUInt8(0) ^ 1, 0);
  return other;
}

/** A relay to the server that answers GET requests otherwise, and the heads of those. */
async function relay(answer: Answer = passOn): Promise<{ address: string; gets: string[] }> {
  const at = address.lastIndexOf(":");
  const sockets = new Set<Socket>();
  const gets: string[] = [];
  const listener = createServer((near) => {
    const far = connect(Number(address.slice(at + 1)), address.slice(0, at));
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on("error", () => undefined);
      socket.on("close", () => [near, far].forEach((end) => end.destroy()));
    }
    near.once("data", (head: Buffer) => {
      const text = head.toString("latin1");
      far.write(head);
      if (text.startsWith("GET ")) {
        gets.push(text);
        answer(near, far);
      } else {
        near.pipe(far);
        far.pipe(near);
      }
    });
  });
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  after(() => {
    listener.close();
    for (const socket of sockets) socket.destroy();
  });
  return { address: `127.0.0.1:${(listener.address() as AddressInfo).port}`, gets };
}

describe("the rest of an image by HTTP", () => {
  it("comes after the first bytes, and goes on with what an earlier process left", async () => {
    const { address, gets } = await relay();
    const away = client({ address });
    assert.ok(bytes.equals(await away.download(image.id)));
    const target = join(await folder(), "image");
    await writeFile(`${target}.${image.id}.part`, bytes.subarray(0, 2 * MiB + 1));
    assert.deepEqual(asStored(await away.download(image.id, target, { resume: true })), asStored(image));
    assert.ok(bytes.equals(await readFile(target)));
    const starts = gets.map((head) => Number(/^range: bytes=(\d+)-/im.exec(head)?.[1]));
    assert.equal(starts.length, 2);
    assert.ok(starts.every((start) => start > 0 && start <= bytes.length - LEAST_BYTES));
    assert.ok((starts[1] ?? 0) > 2 * MiB);
  });

  it("is not asked for where only the hash of the whole could tell what is wrong, and that cannot help", async () => {
    const { address, gets } = await relay();
    const away = client({ address });
    assert.ok(bytes.subarray(10).equals(await away.download(image.id, { offset: 10 })));
    const file = join(await folder(), "image");
    await away.download(image.id, createWriteStream(file));
    assert.ok(bytes.equals(await readFile(file)));
    assert.deepEqual(gets, []);
  });

  const others: [string, Answer][] = [
    ["nothing", (near) => near.destroy()],
    ["another status", (near) => near.end("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")],
    ["no HTTP", (near) => near.end("no HTTP")],
    ["another range", headed(/content-range: bytes \d+/i, "content-range: bytes 1")],
    ["other bytes", headed(/etag: "/i, 'etag: "0')],
    ["a compressed body", headed("\r\n\r\n", "\r\ncontent-encoding: gzip\r\n\r\n")],
    ["bytes that were damaged", changed((piece, passed) => (passed ? damaged(piece) : piece))],
  ];
  for (const [what, answer] of others) {
    it(`answered by ${what}: as if there were none`, async () => {
      const { address, gets } = await relay(answer);
      const away = client({ address });
      const target = join(await folder(), "image");
      await away.download(image.id, target);
      assert.ok(bytes.equals(await readFile(target)));
      assert.ok(bytes.equals(await away.download(image.id)));
      assert.equal(gets.length, 1);
    });
  }

  it("cut off: it goes on with what has come", async () => {
    const { address, gets } = await relay(changed((piece, passed) => (passed > 3 * MiB ? undefined : piece)));
    const target = join(await folder(), "image");
    const seen: number[] = [];
    await client({ address }).download(image.id, target, { onProgress: (told: Progress) => seen.push(told.bytes) });
    assert.ok(bytes.equals(await readFile(target)));
    assert.equal(gets.length, 1); // it did not last, so it is not tried again
    assert.deepEqual(seen, [...new Set(seen)].sort((one, other) => one - other));
  });

  it("silent: a lost connection", async () => {
    const { address } = await relay((near, far) => {
      let passed = 0;
      far.on("data", (piece: Buffer) => {
        near.write(piece);
        if ((passed += piece.length) > 3 * MiB) far.pause();
      });
    });
    assert.ok(bytes.equals(await client({ address, timeoutMs: 2_000 }).download(image.id)));
  });

  it("aborted: what has come is kept, and nothing else is left", async () => {
    const place = await folder();
    const connection = new EventEmitter();
    const over = once(connection, "close");
    const { address } = await relay((near, far) => {
      near.on("close", () => connection.emit("close"));
      passOn(near, far);
    });
    const controller = new AbortController();
    const onProgress = ({ bytes }: Progress) => bytes > 9 * MiB && controller.abort();
    const options = { signal: controller.signal, onProgress };
    await assert.rejects(client({ address }).download(image.id, join(place, "image"), options), { name: "AbortError" });
    await over;
    const [part = "", ...rest] = await readdir(place);
    assert.deepEqual(rest, []);
    const came = await readFile(join(place, part));
    assert.ok(came.length > 9 * MiB);
    assert.ok(bytes.subarray(0, came.length).equals(came));
  });
});
