import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";

import { ImageError, NotFoundError } from "conexiones";
import type { UploadItem, UploadResult, UploadSource } from "conexiones";

import { all, bmp, brokenNetwork, client, folder, hex, MiB, photograph, pieces, sha256 } from "./support.js";

const conexiones = client();

/** Small images, each another one. */
function small(count: number): Buffer[] {
  return Array.from({ length: count }, () => Buffer.concat([bmp(9_000), Buffer.from(randomUUID())]));
}

function digests(results: UploadResult<unknown>[]): string[] {
  return results.map(({ image }) => (image ? hex(image.sha256) : "")).sort();
}

describe("uploadMany", () => {
  it("tells what became of each, whatever its source and size", async () => {
    const place = await folder();
    const [first, second, third] = small(3) as [Buffer, Buffer, Buffer];
    await writeFile(join(place, "first.bmp"), first);
    const large = bmp(5 * MiB);
    const items: (UploadSource | UploadItem)[] = [
      join(place, "first.bmp"),
      { source: second, name: "second.bmp", user: "Eva", sha256: sha256(second) },
      Buffer.from("no image at all"),
      join(place, "none.bmp"),
      { source: third, sha256: sha256(first) },
      { source: third, name: "\ud800" },
      pieces(photograph),
      large,
      new Uint8Array(),
    ];
    const results = await all(conexiones.uploadMany(items, { user: "Zoé" }));
    assert.ok(results.every(({ index, item }) => items[index] === item));
    const said = results.sort((one, other) => one.index - other.index).map(({ image, error }) => {
      if (image) return [image.name, image.user, hex(image.sha256)];
      const { reason, code } = error as { reason?: string; code?: unknown };
      return reason ?? code;
    });
    assert.deepEqual(said, [
      ["first.bmp", "Zoé", sha256(first)],
      ["second.bmp", "Eva", sha256(second)],
      "NOT_AN_IMAGE",
      "ENOENT",
      "CHECKSUM_MISMATCH",
      "INVALID_FIELD",
      ["", "Zoé", sha256(photograph)],
      ["", "Zoé", sha256(large)],
      "EMPTY_STREAM",
    ]);
  });

  it("goes on over connections that break, and stores nothing twice", async () => {
    const images = [...small(60), bmp(3 * MiB)];
    const network = await brokenNetwork(200_000, 4);
    const user = randomUUID();
    const results = await all(client({ address: network.address }).uploadMany(images, { user }));
    assert.deepEqual(digests(results), images.map(sha256).sort());
    const stored = await all(conexiones.images({ user }));
    assert.deepEqual(stored.map(({ id }) => id).sort(), results.map(({ image }) => image?.id).sort());
    assert.equal(network.broken, 4);
  });

  it("takes no more than it has room for while nobody wants results", async () => {
    let taken = 0;
    const [image] = small(1) as [Buffer];
    function* endless() {
      for (;;) yield (taken += 1, image);
    }
    const many = conexiones.uploadMany(endless());
    await many.next();
    // What it takes is bounded, so a time comes at which it takes nothing more.
    for (let before = -1; before !== taken; await new Promise((resolve) => setTimeout(resolve, 200))) before = taken;
    assert.ok(taken <= 600, String(taken));
    await many.return();
  });

  it("takes few large ones while nobody wants results", async () => {
    let taken = 0;
    const image = bmp(4 * MiB);
    function* endless() {
      for (;;) yield (taken += 1, image);
    }
    const many = conexiones.uploadMany(endless(), { concurrency: 2 });
    await many.next();
    for (let others = 0; others < 16; others++) await conexiones.upload(image); // time enough to take many more
    // Two are uploaded at a time and twelve wait; and four results are 16 MiB.
    assert.ok(taken <= 24, String(taken));
    const before = taken;
    for (let others = 0; others < 20; others++) await many.next();
    assert.ok(taken > before);
    await many.return();
  });

  it("ends when the loop is left, and closes the items", async () => {
    let closed = false;
    async function* endless() {
      try {
        for (;;) yield* [...small(1), pieces(bmp(2 * MiB))];
      } finally {
        closed = true;
      }
    }
    for await (const { error } of conexiones.uploadMany(endless())) {
      assert.equal(error, undefined);
      break;
    }
    await new Promise((resolve) => setImmediate(resolve));
    assert.ok(closed);
  });

  it("ends with the reason of its signal, whatever it waits for", async () => {
    const reason = new Error("enough");
    async function* waiting() {
      yield* small(3);
      await new Promise(() => undefined);
    }
    const controller = new AbortController();
    const results: unknown[] = [];
    const ended = (async () => {
      for await (const result of conexiones.uploadMany(waiting(), { signal: controller.signal })) {
        if (results.push(result) === 3) controller.abort(reason);
      }
    })();
    await assert.rejects(ended, (error) => error === reason);
    await assert.rejects(all(conexiones.uploadMany(small(1), { signal: controller.signal })), (error) => error === reason);
    await assert.rejects(all(conexiones.uploadMany(waiting(), { deadlineMs: 200 })), { reason: "DEADLINE_EXCEEDED" });
  });

  it("throws what its items throw, after the results of those before", async () => {
    const failure = new Error("no more items");
    function* failing() {
      yield* small(5);
      throw failure;
    }
    const results: unknown[] = [];
    const ended = (async () => {
      for await (const result of conexiones.uploadMany(failing())) results.push(result);
    })();
    await assert.rejects(ended, (error) => error === failure);
    assert.equal(results.length, 5);
    await assert.rejects(all(conexiones.uploadMany("image.jpg" as never)), { field: "items" });
    await assert.rejects(all(conexiones.uploadMany([], { user: 1 as never })), { field: "user" });
    assert.deepEqual(await all(conexiones.uploadMany([])), []);
  });

  it("gives up a server that is not there", async () => {
    const nobody = client({ address: "127.0.0.1:1", patienceMs: 300 });
    await assert.rejects(all(nobody.uploadMany(small(20))), { name: "UnreachableError" });
  });
});

describe("upload of a small image", () => {
  it("is as that of a large one", async () => {
    const [image] = small(1) as [Buffer];
    const seen: number[] = [];
    const onProgress = ({ bytes, total }: { bytes: number; total: number | undefined }) => {
      assert.equal(total, image.length);
      seen.push(bytes);
    };
    const stored = await conexiones.upload(image, { user: "Eva", name: "folder/small.bmp", onProgress });
    assert.deepEqual([stored.user, stored.name, stored.sizeBytes], ["Eva", "small.bmp", image.length]);
    assert.equal(seen.at(-1), image.length);
    assert.deepEqual(Buffer.from(await conexiones.download(stored.id)), image);
    await assert.rejects(conexiones.upload(Buffer.from("no image at all")), ImageError);
    await conexiones.delete(stored.id);
    await assert.rejects(conexiones.image(stored.id), NotFoundError);
  });

  it("is stored once over connections that break", async () => {
    const user = randomUUID();
    const network = await brokenNetwork(5_000, 3);
    const stored = await client({ address: network.address }).upload(small(1)[0] as Buffer, { user });
    assert.deepEqual((await all(conexiones.images({ user }))).map(({ id }) => id), [stored.id]);
    assert.equal(network.broken, 3);
  });
});
