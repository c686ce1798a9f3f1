import assert from "node:assert/strict";
import { createWriteStream, renameSync, writeFileSync } from "node:fs";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Readable, Writable } from "node:stream";
import { WritableStream } from "node:stream/web";
import { before, describe, it } from "node:test";

import { Code, NotFoundError } from "conexiones";
import type { Image, Progress } from "conexiones";

import { asStored, bmp, brokenNetwork, client, data, folder, hex, MiB, photograph, sha256 } from "./support.js";

const conexiones = client();
const bytes = bmp(12 * MiB);
let image: Image;
before(async () => {
  image = await conexiones.upload(bytes);
});

describe("whoever is told of progress", () => {
  it("may stop the download, also with the last byte", async () => {
    const file = join(await folder(), "image.bmp");
    const error = new Error("of the callback");
    const throwing = ({ bytes: come, total }: Progress) => {
      if (come === total) throw error;
    };
    const stopping = new AbortController();
    const aborting = ({ bytes: come, total }: Progress) => {
      if (come === total) stopping.abort(error);
    };
    await assert.rejects(conexiones.download(image.id, { onProgress: throwing }), error);
    await assert.rejects(conexiones.download(image.id, file, { onProgress: aborting, signal: stopping.signal }), error);
    await conexiones.download(image.id, file, { resume: true });
    assert.ok(bytes.equals(await readFile(file)));
  });
});

describe("targets", () => {
  it("are no arrays, promises or streams that can only be read", async () => {
    for (const target of [[], new Map(), Promise.resolve("file"), Readable.from([]), new Blob([]), new ArrayBuffer(1)]) {
      await assert.rejects(conexiones.download(image.id, target as never), TypeError);
    }
  });

  it("that are streams are destroyed when the call is refused", async () => {
    for (const options of [{ offset: 1.5 }, { resume: true }]) {
      const stream = new Writable();
      const aborted = new Promise((abort) => {
        void assert.rejects(conexiones.download(image.id, new WritableStream({ abort }), options));
      });
      await assert.rejects(conexiones.download(image.id, stream, options));
      assert.ok(stream.destroyed);
      await aborted;
    }
  });

  it("memory", async () => {
    assert.ok(bytes.equals(await conexiones.download(image.id)));
  });

  it("a file, and nothing beside it", async () => {
    const place = await folder();
    const seen: Progress[] = [];
    const onProgress = (progress: Progress) => seen.push(progress);
    const got = await conexiones.download(image.id, join(place, "image.bmp"), { onProgress });
    assert.deepEqual(asStored(got), asStored(image));
    assert.ok(bytes.equals(await readFile(join(place, "image.bmp"))));
    assert.deepEqual(await readdir(place), ["image.bmp"]);
    assert.deepEqual(seen.at(-1), { bytes: bytes.length, total: bytes.length });
    assert.ok(seen.length >= 12);
  });

  it("a stream, which is ended", async () => {
    const file = join(await folder(), "image.bmp");
    const stream = createWriteStream(file);
    await conexiones.download(image.id, stream);
    assert.ok(stream.writableFinished);
    assert.ok(bytes.equals(await readFile(file)));
  });

  it("a slow stream holds one frame at a time", async () => {
    let held = 0;
    let most = 0;
    const slow = new Writable({
      highWaterMark: 1,
      write(chunk: Buffer, _encoding, done) {
        held += chunk.length;
        most = Math.max(most, held, slow.writableLength);
        setImmediate(() => {
          held -= chunk.length;
          done();
        });
      },
    });
    await conexiones.download(image.id, slow);
    assert.ok(most <= MiB, `${most} bytes`);
  });

  it("a stream that fails: its error", async () => {
    const failure = new Error("no more paper");
    const broken = new Writable({ write: (_chunk, _encoding, done) => done(failure) });
    broken.on("error", () => undefined);
    await assert.rejects(conexiones.download(image.id, broken), (error) => error === failure);
  });
});

describe("ranges", () => {
  const ranges: [number, number, number, number][] = [
    [0, 10, 0, 10],
    [1_500_000, 2_500_000, 1_500_000, 4_000_000],
    [5_000_000, 0, 5_000_000, bytes.length],
    [-100, 0, bytes.length - 100, bytes.length],
    [-2_000_000, 1_500_000, bytes.length - 2_000_000, bytes.length - 500_000],
    [-1e12, 7, 0, 7],
    [bytes.length - 5, 50, bytes.length - 5, bytes.length],
  ];
  for (const [offset, limit, start, end] of ranges) {
    it(`offset ${offset}, limit ${limit}`, async () => {
      const part = await conexiones.download(image.id, undefined, { offset, limit });
      assert.ok(bytes.subarray(start, end).equals(part));
    });
  }

  it("behind the end", async () => {
    const offset = bytes.length + 1;
    await assert.rejects(conexiones.download(image.id, undefined, { offset }), { reason: "OFFSET_OUT_OF_RANGE" });
  });
});

describe("what breaks", () => {
  it("connections: it goes on", async () => {
    const network = await brokenNetwork(3 * MiB, 3);
    const got = await client({ address: network.address }).download(image.id);
    assert.ok(bytes.equals(got));
    assert.equal(network.broken, 3);
  });

  it("connections, within a range from the end", async () => {
    const network = await brokenNetwork(3 * MiB, 2);
    const options = { offset: -8 * MiB, limit: 7 * MiB };
    const got = await client({ address: network.address }).download(image.id, undefined, options);
    assert.ok(bytes.subarray(-8 * MiB, -1 * MiB).equals(got));
    assert.equal(network.broken, 2);
  });

  it("an image that is not there, and no file either", async () => {
    const place = await folder();
    const none = "00000000-0000-7000-8000-000000000000";
    await assert.rejects(conexiones.download(none, join(place, "image")), (error) => {
      assert.ok(error instanceof NotFoundError);
      assert.deepEqual([error.code, error.reason], [Code.NOT_FOUND, "IMAGE_NOT_FOUND"]);
      return true;
    });
    assert.deepEqual(await readdir(place), []);
  });

  it("its signal: at once, and nothing is left of nothing", async () => {
    const place = await folder();
    const target = join(place, "image");
    const options = { signal: AbortSignal.abort() };
    await assert.rejects(conexiones.download(image.id, target, options), { name: "AbortError" });
    const network = await brokenNetwork(0, Infinity);
    const lonely = client({ address: network.address });
    const early = { signal: AbortSignal.timeout(20) };
    await assert.rejects(lonely.download(image.id, target, early), { name: "TimeoutError" });
    assert.deepEqual(await readdir(place), []);
  });
});

describe("resume", () => {
  const interrupted = async (place: string, resume = true, most = 2 * MiB) => {
    const controller = new AbortController();
    const onProgress = ({ bytes }: Progress) => bytes > most && controller.abort();
    const options = { resume, signal: controller.signal, onProgress };
    await assert.rejects(conexiones.download(image.id, join(place, "image"), options), { name: "AbortError" });
    const [part, ...others] = await readdir(place);
    assert.deepEqual([part, others], [`image.${image.id}.part`, []]);
    return join(place, part as string);
  };
  const resumed = async (place: string) => {
    const seen: number[] = [];
    const options = { resume: true, onProgress: ({ bytes }: Progress) => seen.push(bytes) };
    await conexiones.download(image.id, join(place, "image"), options);
    assert.ok(bytes.equals(await readFile(join(place, "image"))));
    assert.deepEqual(await readdir(place), ["image"]);
    return seen;
  };

  it("goes on with what came before", async () => {
    const place = await folder();
    await interrupted(place);
    const [first] = await resumed(place);
    assert.ok((first ?? 0) > 2 * MiB);
  });

  it("goes on with what came without it", async () => {
    const place = await folder();
    const came = await readFile(await interrupted(place, false));
    assert.ok(came.length > 2 * MiB);
    assert.ok(bytes.subarray(0, came.length).equals(came));
    const [first] = await resumed(place);
    assert.equal(first, came.length);
  });

  it("goes on with the most that came", async () => {
    const place = await folder();
    const most = (await readFile(await interrupted(place, false, 4 * MiB))).length;
    assert.equal((await readFile(await interrupted(place, false, 2 * MiB))).length, most);
    const more = (await readFile(await interrupted(place, false, 6 * MiB))).length;
    assert.ok(more > most);
    const [first] = await resumed(place);
    assert.equal(first, more);
  });

  it("is of one range", async () => {
    const place = await folder();
    const target = join(place, "image");
    const controller = new AbortController();
    const options = { offset: MiB, signal: controller.signal, onProgress: () => controller.abort() };
    await assert.rejects(conexiones.download(image.id, target, options), { name: "AbortError" });
    const part = `image.${image.id}.${MiB}+0.part`;
    assert.deepEqual(await readdir(place), [part]);
    const begun = (await readFile(join(place, part))).length;
    const seen: number[] = [];
    const again = { resume: true, onProgress: ({ bytes }: Progress) => seen.push(bytes) };
    await conexiones.download(image.id, target, { ...again, offset: MiB });
    assert.deepEqual([seen[0], await readdir(place)], [begun, ["image"]]);
    assert.ok(bytes.subarray(MiB).equals(await readFile(target)));
  });

  it("is not in the way of others: downloads to one path do not meet", async () => {
    const place = await folder();
    const target = join(place, "image");
    const stopped = new AbortController();
    const some = { signal: stopped.signal, onProgress: ({ bytes }: Progress) => bytes > 4 * MiB && stopped.abort() };
    const aborted = assert.rejects(conexiones.download(image.id, target, some), { name: "AbortError" });
    await Promise.all([1, 2, 3].map(() => conexiones.download(image.id, target)));
    await aborted;
    assert.ok(bytes.equals(await readFile(target)));
    assert.deepEqual((await readdir(place)).sort(), ["image", `image.${image.id}.part`]);
  });

  it("begins again where that was damaged meanwhile", async () => {
    const place = await folder();
    const part = await interrupted(place);
    await writeFile(part, Buffer.alloc(2 * MiB));
    const seen = await resumed(place);
    assert.equal(seen[0], 2 * MiB);
    assert.ok(seen.includes(MiB), "it did not begin again");
  });

  it("is for files", async () => {
    await assert.rejects(conexiones.download(image.id, undefined, { resume: true }), TypeError);
  });
});

describe("renditions", () => {
  let photo: Image;
  before(async () => {
    photo = await conexiones.upload(photograph);
  });

  it("in every target, as they were made", async () => {
    const rendition = { width: 200, height: 100, fit: "cover", format: "png" } as const;
    const png = Buffer.from(await conexiones.download(photo.id, { rendition }));
    assert.deepEqual([png.toString("latin1", 1, 4), png.readUInt32BE(16), png.readUInt32BE(20)], ["PNG", 200, 100]);
    const place = await folder();
    const info = await conexiones.download(photo.id, join(place, "small.png"), { rendition });
    assert.ok(png.equals(await readFile(join(place, "small.png"))));
    const made = { format: "PNG", width: 200, height: 100, frames: 1, sizeBytes: png.length, contentType: "image/png" };
    assert.deepEqual(info, { ...made, sha256: info.sha256, etag: `"${sha256(png)}"` });
    assert.equal(hex(info.sha256), sha256(png));
    const stream = createWriteStream(join(place, "again.png"));
    assert.deepEqual(await conexiones.download(photo.id, stream, { rendition }), info);
    const range = { rendition, offset: -10, limit: 4 };
    assert.ok(png.subarray(-10, -6).equals(await conexiones.download(photo.id, range)));
  });

  it("that make no sense: the field", async () => {
    const place = await folder();
    const bad: [object, string][] = [
      [{ width: -1 }, "width"],
      [{ height: 1e12 }, "height"],
      [{ height: 1.5 }, "height"],
      [{ fit: "cover", width: 10 }, "height"],
      [{ fit: "stretch" }, "fit"],
      [{ format: "gif" }, "format"],
      [{ format: "png", quality: 50 }, "quality"],
      [{ format: "jpeg", animated: true }, "animated"],
    ];
    for (const [rendition, field] of bad) {
      const fault = { code: Code.INVALID_ARGUMENT, reason: "INVALID_FIELD", field: `rendition.${field}` };
      const options = { rendition, resume: true };
      await assert.rejects(conexiones.download(photo.id, join(place, "image"), options), fault);
    }
    assert.deepEqual(await readdir(place), []);
  });

  it("over connections that break", async () => {
    const network = await brokenNetwork(1 * MiB, 2);
    const rendition = { format: "jpeg", quality: 100 } as const;
    const got = await client({ address: network.address }).download(image.id, { rendition });
    assert.equal(network.broken, 2);
    assert.equal(sha256(got), sha256(await conexiones.download(image.id, { rendition })));
  });

  it("go on with what came before", async () => {
    const place = await folder();
    const rendition = { format: "jpeg", quality: 100 } as const;
    const controller = new AbortController();
    const onProgress = () => controller.abort();
    const options = { rendition, resume: true, signal: controller.signal, onProgress };
    await assert.rejects(conexiones.download(image.id, join(place, "image"), options), { name: "AbortError" });
    const [part] = await readdir(place);
    assert.equal(part, `image.${image.id}.rendition-jpeg-q100.part`);
    const begun = (await readFile(join(place, `image.${image.id}.rendition-jpeg-q100.part`))).length;
    const seen: number[] = [];
    const again = { rendition, resume: true, onProgress: ({ bytes }: Progress) => seen.push(bytes) };
    const info = await conexiones.download(image.id, join(place, "image"), again);
    assert.equal(seen[0], begun);
    assert.equal(sha256(await readFile(join(place, "image"))), hex(info.sha256));
    assert.deepEqual(await readdir(place), ["image"]);
  });

  it("that become other bytes meanwhile, as with a newer server, begin again: nothing of the two is mixed", async () => {
    const kept = join(data, "renditions", hex(image.sha256).slice(0, 2));
    const made = async (quality: number) => {
      const before = await readdir(kept);
      const got = await conexiones.download(image.id, { rendition: { format: "jpeg", quality } });
      const [name] = (await readdir(kept)).filter((name) => !before.includes(name));
      const file = join(kept, name as string);
      return { sum: sha256(got), file, form: await readFile(file) };
    };
    const [old, other] = [await made(98), await made(97)];
    const draft = join(await folder(), "draft");
    const become = (form: Buffer) => {
      writeFileSync(draft, form);
      renameSync(draft, old.file);
    };
    const rendition = { format: "jpeg", quality: 98 } as const;
    const changed = async (target: () => Writable | undefined) => {
      for (;;) {
        become(old.form);
        // After a frame of 1 MiB, which is when the bytes are exchanged.
        const network = await brokenNetwork(2 * MiB, 1);
        const away = client({ address: network.address });
        let begun = false;
        const onProgress = () => {
          if (!begun) become(other.form);
          begun = true;
        };
        const options = { rendition, onProgress };
        const stream = target();
        const got = stream ? await away.download(image.id, stream, options) : await away.download(image.id, options);
        const sum = "sha256" in got ? hex(got.sha256) : sha256(got);
        // Until the server notices that the connection is gone, it continues with the rendition that it has open.
        if (sum !== old.sum) return sum;
      }
    };
    assert.equal(await changed(() => undefined), other.sum);
    // Bytes that were written to a stream cannot be taken back.
    const nowhere = () => {
      const stream = new Writable({ write: (_chunk, _encoding, done) => done() });
      return stream.on("error", () => undefined);
    };
    await assert.rejects(changed(nowhere), { code: Code.ABORTED, reason: "ETAG_MISMATCH" });
  });
});
