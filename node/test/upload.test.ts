import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { appendFileSync, createReadStream, utimesSync } from "node:fs";
import { readdir, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { Readable } from "node:stream";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";

import { create } from "@bufbuild/protobuf";
import { credentials } from "@grpc/grpc-js";
import { Code, ConexionesError, ImageError, UnavailableError } from "conexiones";
import type { Progress, UploadSource } from "conexiones";

import { ImageProblemSchema } from "../src/gen/conexiones/v1/errors_pb.js";
import { UploadService } from "../src/gen/conexiones/v1/uploads_pb.js";
import { Rpc } from "../src/rpc.js";
import { Shown } from "../src/shown.js";
import { address, bmp, brokenNetwork, client, elephant, folder, hex, MiB, photograph, pieces, sha256 } from "./support.js";

const conexiones = client();

describe("every source gives the same image", () => {
  const sources: Record<string, () => UploadSource> = {
    "a path": () => fileURLToPath(elephant),
    "a file: URL": () => elephant,
    bytes: () => new Uint8Array(photograph),
    "a Readable": () => createReadStream(elephant, { highWaterMark: 4096 }),
    "an async generator": () => pieces(photograph, 7),
    "a web stream": () => Readable.toWeb(Readable.from(pieces(photograph))),
  };
  for (const [name, source] of Object.entries(sources)) {
    it(name, async () => {
      const stored = await conexiones.upload(source(), { user: "Zoé", chunkSize: 100_000 });
      assert.equal(hex(stored.sha256), sha256(photograph));
      assert.deepEqual([stored.format, stored.width, stored.height], ["JPEG", 1280, 853]);
      assert.deepEqual([stored.sizeBytes, stored.user, stored.contentType], [317_645, "Zoé", "image/jpeg"]);
      assert.ok(Math.abs(stored.createTime.getTime() - Date.now()) < 60_000);
    });
  }

  it("an http: URL, also as text", async () => {
    const web = createServer((request, response) => {
      if (request.url === "/elephant.jpg") response.end(photograph);
      else response.writeHead(404).end();
    });
    await new Promise<void>((resolve) => web.listen(0, "127.0.0.1", resolve));
    const base = `http://127.0.0.1:${(web.address() as AddressInfo).port}`;
    try {
      const stored = await conexiones.upload(new URL("/elephant.jpg", base));
      assert.equal(hex(stored.sha256), sha256(photograph));
      assert.equal(hex((await conexiones.upload(`${base}/elephant.jpg`)).sha256), sha256(photograph));
      await assert.rejects(conexiones.upload(new URL("/none.jpg", base)), /answered 404/);
    } finally {
      web.close();
      web.closeAllConnections();
    }
  });
});

describe("progress", () => {
  it("rises from nothing to all there is", async () => {
    const image = bmp(8 * MiB);
    const seen: Progress[] = [];
    await conexiones.upload(image, { onProgress: (progress) => seen.push(progress) });
    const bytes = seen.map((progress) => progress.bytes);
    assert.deepEqual(bytes, [...new Set(bytes)].sort((one, other) => one - other));
    assert.deepEqual([bytes[0], bytes.at(-1)], [0, image.length]);
    assert.ok(seen.every(({ total }) => total === image.length));
  });

  it("comes while the source still gives", async () => {
    const image = bmp(2 * MiB);
    let told: (() => void) | undefined;
    const came = new Promise<void>((resolve) => (told = resolve));
    async function* halves() {
      yield image.subarray(0, MiB);
      await came; // for ever, if what is stored were only said at the end
      yield image.subarray(MiB);
    }
    const seen: number[] = [];
    await conexiones.upload(halves(), {
      onProgress: ({ bytes }) => {
        seen.push(bytes);
        if (bytes > 0) told?.();
      },
    });
    assert.deepEqual([seen[0], seen.at(-1)], [0, image.length]);
    assert.ok(seen.some((bytes) => bytes > 0 && bytes <= MiB), seen.join());
  });

  it("has no total where nobody knows it", async () => {
    let last: Progress | undefined;
    await conexiones.upload(pieces(photograph), { onProgress: (progress) => (last = progress) });
    assert.deepEqual(last, { bytes: photograph.length, total: undefined });
  });
});

describe("connections that break", () => {
  for (const [name, source] of Object.entries({
    bytes: (image: Buffer) => image,
    "a stream that cannot go back": (image: Buffer) => pieces(image),
  })) {
    it(`go on with ${name}`, async () => {
      const image = bmp(12 * MiB);
      const network = await brokenNetwork(3 * MiB, 3);
      const stored = await client({ address: network.address }).upload(source(image));
      assert.equal(hex(stored.sha256), sha256(image));
      assert.equal(network.broken, 3);
    });
  }

  it("are given up when the patience is at its end", async () => {
    const nobody = client({ address: "127.0.0.1:1", patienceMs: 300 });
    await assert.rejects(nobody.upload(photograph), (error) => {
      assert.ok(error instanceof UnavailableError);
      assert.deepEqual([error.code, error.reason], [Code.UNAVAILABLE, ""]);
      return true;
    });
  });

  it("are given up when the server accepts and says nothing", async () => {
    const silent = await brokenNetwork(0, Infinity);
    await assert.rejects(client({ address: silent.address }).upload(photograph, { patienceMs: 500 }), UnavailableError);
  });
});

describe("an image that is refused", () => {
  it("is an ImageError that says why", async () => {
    await assert.rejects(conexiones.upload(Buffer.from("<svg xmlns='http://www.w3.org/2000/svg'/>")), (error) => {
      assert.ok(error instanceof ImageError && error instanceof ConexionesError);
      assert.deepEqual([error.name, error.code, error.reason], ["ImageError", Code.INVALID_ARGUMENT, "UNSUPPORTED_FORMAT"]);
      assert.equal(error.facts["format"], "SVG");
      assert.equal(error.detail("conexiones.v1.ImageProblem")?.format, "SVG");
      assert.match(error.message, /^SVG is not accepted/);
      assert.match(error.mensaje, /^No se acepta SVG/);
      return true;
    });
  });

  it("can be made into JSON, whose int64 are texts, with all that a log needs", async () => {
    await assert.rejects(conexiones.upload(Buffer.from("no image")), (error) => {
      assert.ok(error instanceof ImageError);
      const { details, ...rest } = JSON.parse(JSON.stringify(error)) as { details: { $typeName: string }[] };
      const { code, reason, field, message, facts, requestId } = error;
      assert.deepEqual(rest, { name: "ImageError", code, reason, field, message, facts, requestId });
      assert.deepEqual(details.map(({ $typeName }) => $typeName), error.details.map(({ $typeName }) => $typeName));
      return true;
    });
    const problem = create(ImageProblemSchema, { limit: 1n << 60n });
    const error = new ImageError({ code: Code.INVALID_ARGUMENT, message: "", details: [problem] });
    assert.match(JSON.stringify({ error }), /"limit":"1152921504606846976"/);
  });

  it("is told by its first bytes, not after all of them", async () => {
    let sent = 0;
    let closed = false;
    async function* forEver() {
      try {
        for (; sent < 2048 * MiB; sent += MiB) yield Buffer.alloc(MiB, "no image at all. ");
      } finally {
        closed = true;
      }
    }
    await assert.rejects(conexiones.upload(forEver()), { name: "ImageError", reason: "NOT_AN_IMAGE" });
    assert.ok(sent < 256 * MiB, `${sent} bytes were sent`);
    assert.ok(closed, "the source was not closed");
  });

  it("may be cut off", async () => {
    const reason = { name: "ImageError", reason: "TRUNCATED_IMAGE" };
    await assert.rejects(conexiones.upload(photograph.subarray(0, 100_000)), reason);
  });
});

describe("what ends an upload", () => {
  it("a source that fails: its error as it is", async () => {
    const failure = new Error("the disk is on fire");
    async function* burning() {
      yield photograph.subarray(0, 100_000);
      throw failure;
    }
    await assert.rejects(conexiones.upload(burning()), (error) => error === failure);
  });

  it("a source of something else than bytes", async () => {
    await assert.rejects(conexiones.upload(Readable.from(["text"])), TypeError);
    await assert.rejects(conexiones.upload(42 as never), TypeError);
    await assert.rejects(conexiones.upload("/no/such/file.jpg"), { code: "ENOENT" });
    await assert.rejects(conexiones.upload("/tmp"), TypeError);
  });

  it("its signal, at once, in mid-stream", { timeout: 60_000 }, async () => {
    const controller = new AbortController();
    const reason = new Error("enough");
    async function* endless() {
      yield bmp(MiB);
      await new Promise(() => undefined);
    }
    const onProgress = ({ bytes }: Progress) => bytes > 0 && controller.abort(reason);
    const { signal } = controller;
    await assert.rejects(conexiones.upload(endless(), { signal, onProgress }), (error) => error === reason);
    await assert.rejects(conexiones.upload(photograph, { signal }), (error) => error === reason);
  });

  it("its deadline", async () => {
    async function* endless() {
      yield photograph.subarray(0, 1000);
      await new Promise(() => undefined);
    }
    const late = { name: "ConexionesError", reason: "DEADLINE_EXCEEDED" };
    await assert.rejects(conexiones.upload(endless(), { deadlineMs: 200 }), late);
  });
});

describe("an upload", () => {
  it("with a hash that is known, or is another one", async () => {
    const sum = sha256(photograph);
    assert.equal(hex((await conexiones.upload(photograph, { sha256: sum })).sha256), sum);
    await conexiones.upload(pieces(photograph), { sha256: Buffer.from(sum, "hex") });
    const wrong = sum.replace(/^./, (digit) => (digit === "0" ? "1" : "0"));
    await assert.rejects(conexiones.upload(photograph, { sha256: wrong }), { reason: "CHECKSUM_MISMATCH" });
    await assert.rejects(conexiones.upload(photograph, { sha256: "abc" }), { field: "sha256" });
  });

  it("of nothing is refused as that", async () => {
    await assert.rejects(conexiones.upload(new Uint8Array()), { name: "ImageError", reason: "EMPTY_STREAM" });
    await assert.rejects(conexiones.upload([]), { name: "ImageError", reason: "EMPTY_STREAM" });
  });

  it("can be looked at and given up", async () => {
    // upload() does not reveal the id of an upload in progress, so the test takes it from the protocol.
    const rpc = new Rpc(address, credentials.createInsecure(), { encrypted: false, cert: false }, new Shown(undefined, undefined), {});
    const request = { requestId: randomUUID(), user: "Eva", sizeBytes: 1_000_000n };
    const { upload: begun } = await rpc.unary(UploadService.method.createUpload, request);
    rpc.close();
    const id = begun?.id ?? "";
    const open = await conexiones.getUpload(id);
    assert.deepEqual([open.id, open.state, open.user, open.sizeBytes], [id, "OPEN", "Eva", 1_000_000]);
    assert.deepEqual([open.committedSize, open.image, open.failure], [0, undefined, undefined]);
    assert.ok(open.expireTime > open.createTime);
    const ended = await conexiones.cancelUpload(id);
    assert.equal(ended.state, "CANCELLED");
    assert.deepEqual(await conexiones.getUpload(id), ended);
    await assert.rejects(conexiones.getUpload("none"), { name: "NotFoundError", reason: "UPLOAD_NOT_FOUND" });
  });

  it("has limits", async () => {
    const limits = await conexiones.limits();
    assert.ok(limits.maxImageBytes >= limits.maxChunkBytes && limits.maxChunkBytes >= limits.preferredChunkBytes);
    assert.ok(limits.preferredChunkBytes > 0 && limits.maxPixels > 0 && limits.maxMessageBytes > limits.maxChunkBytes);
    assert.deepEqual([limits.idleExpiryMs, limits.totalExpiryMs], [24 * 3_600_000, 7 * 24 * 3_600_000]);
    assert.match(limits.serverVersion, /^\d+\.\d+/);
    assert.ok(limits.serverTime && Math.abs(limits.serverTime.getTime() - Date.now()) < 60_000);
    assert.ok(limits.maxOpenUploads > 0 && limits.maxOpenBytes > 0);
    assert.deepEqual(limits.renditions?.formats, ["JPEG", "PNG", "WEBP", "AVIF"]);
    assert.equal(limits.renditions.maxQuality, 100);
    assert.ok(limits.renditions.maxSide > 0 && limits.renditions.maxPixels > 0 && limits.renditions.maxSeconds > 0);
  });
});

describe("resume", () => {
  it("leaves nothing beside the file when it is done", async () => {
    const place = await folder();
    await writeFile(join(place, "image.jpg"), photograph);
    await conexiones.upload(join(place, "image.jpg"), { resume: true });
    assert.deepEqual(await readdir(place), ["image.jpg"]);
    await assert.rejects(conexiones.upload(photograph, { resume: true }), TypeError);
  });

  it("needs nothing for a small image, which is sent whole unless it was begun in chunks", async () => {
    const place = await folder();
    const file = join(place, "image.jpg");
    await writeFile(file, photograph);
    const resume = join(place, "none");
    await conexiones.upload(file, { resume });
    await assert.rejects(conexiones.upload(file, { resume, chunkSize: 100_000 }), { code: "ENOENT" });
    await writeFile(`${file}.conexiones-upload`, ""); // removed by whoever goes on with it
    await conexiones.upload(file, { resume: true });
    assert.deepEqual(await readdir(place), ["image.jpg"]);
  });

  it("begins where another attempt was stopped, unless the file is another one by now", async () => {
    const place = await folder();
    const states = await folder();
    const file = join(place, "image.bmp");
    const image = bmp(12 * MiB);
    await writeFile(file, image);
    const interrupt = async () => {
      const controller = new AbortController();
      const onProgress = ({ bytes }: Progress) => bytes > 0 && controller.abort();
      const { signal } = controller;
      await assert.rejects(conexiones.upload(file, { resume: states, signal, onProgress }), { name: "AbortError" });
      assert.equal((await readdir(states)).length, 1);
    };
    const beginning = async () => {
      const seen: number[] = [];
      const stored = await conexiones.upload(file, { resume: states, onProgress: ({ bytes }) => seen.push(bytes) });
      assert.equal(hex(stored.sha256), sha256(image));
      return seen[0];
    };
    await interrupt();
    assert.ok((await beginning() ?? 0) > 0);
    image.writeUInt8(image.readUInt8(image.length - 1) ^ 1, image.length - 1);
    await interrupt();
    await writeFile(file, image);
    assert.equal(await beginning(), 0);
    assert.deepEqual(await readdir(states), []);
  });

  it("refuses a file that is written to while it is read", async () => {
    const file = join(await folder(), "image.bmp");
    for (const change of [() => appendFileSync(file, "more"), () => utimesSync(file, 1, 1)]) {
      const image = bmp(24 * MiB);
      await writeFile(file, image);
      await assert.rejects(conexiones.upload(file, { onProgress: change }), /image.bmp was written to while it was read/);
      for await (const { id } of conexiones.images({ sha256: [sha256(image)] })) assert.fail(id);
    }
  });

  it("takes the upload from another writer, who is told", async () => {
    const place = await folder();
    const file = join(place, "image.bmp");
    await writeFile(file, bmp(24 * MiB));
    let second: Promise<unknown> | undefined;
    const first = conexiones.upload(file, {
      resume: true,
      onProgress: () => {
        second ??= client().upload(file, { resume: true });
      },
    });
    await assert.rejects(first, { code: Code.ABORTED, reason: "WRITER_FENCED" });
    await second;
  });
});
