// Servers that lie: nothing counts as success that is none, and all ends.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";

import { create, toBinary } from "@bufbuild/protobuf";
import { anyPack } from "@bufbuild/protobuf/wkt";
import { Metadata } from "@grpc/grpc-js";
import crc32 from "@node-rs/crc32";
import { Code, UnavailableError } from "conexiones";
import type { ConexionesError, UploadResult } from "conexiones";

import { DownloadImageResponseSchema, ImageSchema, ListImagesResponseSchema } from "../src/gen/conexiones/v1/images_pb.js";
import type { DownloadImageResponse } from "../src/gen/conexiones/v1/images_pb.js";
import { ErrorInfoSchema } from "../src/gen/google/rpc/error_details_pb.js";
import { StatusSchema } from "../src/gen/google/rpc/status_pb.js";
import * as pb from "../src/gen/conexiones/v1/uploads_pb.js";
import { GetImageReplySchema } from "../src/gen/user_pb.js";
import type { GetImage, GetImageReply } from "../src/gen/user_pb.js";
import { forever, lying } from "./fake.js";
import type { Talks, Writes } from "./fake.js";
import { MiB, all, client, folder } from "./support.js";

const DATA = Buffer.from("data");
const HURRY = { timeoutMs: 200, patienceMs: 500 };

function image(more: object = {}) {
  return create(ImageSchema, {
    ...{ id: "1", format: "PNG", sizeBytes: BigInt(DATA.length) },
    ...{ sha256: createHash("sha256").update(DATA).digest(), ...more },
  });
}

function frame(offset: number, more: object = {}) {
  const crc32c = crc32.crc32c(DATA);
  return create(DownloadImageResponseSchema, { offset: BigInt(offset), data: DATA, crc32c, ...more });
}

const limits = (maxSmallBytes: number) => () => create(pb.GetLimitsResponseSchema, { maxSmallBytes: BigInt(maxSmallBytes) });
const SMALL = { getLimits: limits(1000) };
const created = () =>
  create(pb.CreateUploadResponseSchema, { upload: { id: "u", state: pb.Upload_State.OPEN } });
const ready = (lie: object) => () =>
  create(pb.FinishUploadResponseSchema, { upload: { id: "u", state: pb.Upload_State.READY, image: image(lie) } });

/** Acknowledges all that comes. */
function whole(call: Talks<pb.WriteStreamRequest, pb.WriteStreamResponse>): void {
  call.write(create(pb.WriteStreamResponseSchema, {}));
  call.on("data", ({ offset, data }: pb.WriteStreamRequest) => {
    if (data.length > 0) call.write(create(pb.WriteStreamResponseSchema, { committedSize: offset + BigInt(data.length) }));
  });
  call.on("end", () => call.end());
}

describe("a download", () => {
  it("takes no bytes beyond the end", async () => {
    const downloadImage = (call: Writes<DownloadImageResponse>) => {
      let offset = 0;
      call.write(frame(0, { image: image() }));
      forever(call, () => call.write(frame((offset += DATA.length))));
    };
    const address = await lying({ downloadImage });
    assert.deepEqual(Buffer.from(await client({ address }).download("1")), DATA);
  });

  it("gives up frames without bytes", async () => {
    const downloadImage = (call: Writes<DownloadImageResponse>) =>
      forever(call, () => call.write(create(DownloadImageResponseSchema, { image: image() })));
    const address = await lying({ downloadImage });
    await assert.rejects(client({ address, ...HURRY }).download("1"), UnavailableError);
  });
});

it("a list ends with a page without images", async () => {
  const address = await lying({ listImages: () => create(ListImagesResponseSchema, { nextPageToken: "same" }) });
  assert.deepEqual(await all(client({ address }).images()), []);
});

describe("an upload", () => {
  for (const [name, lie] of Object.entries({ "another size": { sizeBytes: 5n }, "another hash": { sha256: Buffer.alloc(32) } })) {
    it(`is no success with ${name}`, async () => {
      const address = await lying({ getLimits: limits(0), createUpload: created, writeStream: whole, finishUpload: ready(lie) });
      await assert.rejects(client({ address }).upload(DATA), { reason: "CHECKSUM_MISMATCH" });
    });

    it(`is no success with ${name}, by one call`, async () => {
      const uploadImage = () => create(pb.UploadImageResponseSchema, { image: image(lie) });
      const address = await lying({ ...SMALL, uploadImage });
      await assert.rejects(client({ address }).upload(DATA), { reason: "CHECKSUM_MISMATCH" });
    });
  }

  for (const committedSize of [0n, 1n, 1n << 50n]) {
    it(`gives up acknowledgements of ${committedSize} bytes`, async () => {
      const writeStream = (call: Talks<unknown, pb.WriteStreamResponse>) => {
        call.resume();
        forever(call, () => call.write(create(pb.WriteStreamResponseSchema, { committedSize })));
      };
      const address = await lying({ getLimits: limits(0), createUpload: created, writeStream });
      await assert.rejects(client({ address, ...HURRY }).upload(DATA), (error) => {
        assert.ok(error instanceof UnavailableError || (error as { reason?: string }).reason === "SIZE_EXCEEDED", String(error));
        return true;
      });
    });
  }
});

describe("uploadMany", () => {
  const answer = (respond: (request: pb.UploadImagesRequest) => object) => (call: Talks<pb.UploadImagesRequest, pb.UploadImagesResponse>) => {
    call.on("data", (request: pb.UploadImagesRequest) => call.write(create(pb.UploadImagesResponseSchema, respond(request))));
    call.on("end", () => call.end());
  };
  const stored = (lie: object = {}) => ({ outcome: { case: "image" as const, value: image(lie) } });

  it("tells of images that are not those that were sent", async () => {
    const uploadImages = answer(({ requestId }) => ({ requestId, ...stored({ sha256: Buffer.alloc(32) }) }));
    const address = await lying({ ...SMALL, uploadImages });
    const [result] = await all(client({ address }).uploadMany([DATA]));
    assert.equal((result as UploadResult<Buffer>).error?.message, "The server has stored other bytes than those that were sent.");
  });

  it("gives up answers to what was not asked", async () => {
    const address = await lying({ ...SMALL, uploadImages: answer(() => ({ requestId: "another", ...stored() })) });
    await assert.rejects(all(client({ address, ...HURRY }).uploadMany([DATA, DATA])), UnavailableError);
  });

  it("gives up answers that say nothing", async () => {
    const address = await lying({ ...SMALL, uploadImages: answer(({ requestId }) => ({ requestId })) });
    const results = all(client({ address, ...HURRY }).uploadMany([DATA, DATA]));
    assert.ok((await results).every(({ error }) => error !== undefined));
  });

  it("gives up silence", async () => {
    const address = await lying({ ...SMALL, uploadImages: (call: Talks<unknown, unknown>) => void call.resume() });
    await assert.rejects(all(client({ address, ...HURRY }).uploadMany([DATA, DATA])), UnavailableError);
  });

  it("sends again, with the same ids, what a broken stream has left unanswered", async () => {
    const ids = new Map<string, number>();
    let streams = 0;
    const uploadImages = (call: Talks<pb.UploadImagesRequest, pb.UploadImagesResponse>) => {
      let answers = ++streams < 6 ? 3 : Infinity;
      call.on("data", ({ requestId }: pb.UploadImagesRequest) => {
        ids.set(requestId, (ids.get(requestId) ?? 0) + 1);
        if (answers-- > 0) call.write(create(pb.UploadImagesResponseSchema, { requestId, ...stored() }));
        else if (answers === -2) call.emit("error", { code: Code.UNAVAILABLE, details: "broken" });
      });
      call.on("end", () => call.end());
    };
    const address = await lying({ ...SMALL, uploadImages });
    const results = await all(client({ address }).uploadMany(Array.from({ length: 100 }, () => DATA)));
    assert.deepEqual(new Set(results.map(({ index }) => index)).size, 100);
    assert.ok(results.every(({ error }) => error === undefined));
    assert.equal(ids.size, 100);
    assert.ok([...ids.values()].some((times) => times > 1));
  });

  it("has an image at which the server fails as its own outcome", async () => {
    const metadata = new Metadata();
    const details = [anyPack(ErrorInfoSchema, create(ErrorInfoSchema, { reason: "INTERNAL" }))];
    metadata.set("grpc-status-details-bin", Buffer.from(toBinary(StatusSchema, create(StatusSchema, { code: Code.INTERNAL, details }))));
    const failure = Object.assign(new Error("no"), { code: Code.INTERNAL, metadata });
    const uploadImages = (call: Talks<pb.UploadImagesRequest, pb.UploadImagesResponse>) => {
      let failed = false;
      call.on("data", ({ requestId, name }: pb.UploadImagesRequest) => {
        if (failed) return;
        failed = name === "defect";
        if (failed) call.emit("error", failure);
        else call.write(create(pb.UploadImagesResponseSchema, { requestId, ...stored() }));
      });
      call.on("end", () => call.end());
    };
    const createUpload = () => {
      throw failure;
    };
    const address = await lying({ ...SMALL, uploadImages, createUpload });
    const items = Array.from({ length: 10 }, (_, index) => ({ source: DATA, name: index === 5 ? "defect" : "" }));
    const results = await all(client({ address }).uploadMany(items));
    assert.equal(results.length, 10);
    const [failed, ...more] = results.filter(({ error }) => error !== undefined);
    assert.deepEqual(more, []);
    assert.equal(failed?.index, 5);
    assert.equal((failed.error as ConexionesError).reason, "INTERNAL");
  });

  it("takes the long way where the server does not take such images any more", async () => {
    const calls = { createUpload: created, writeStream: whole, finishUpload: ready({}) };
    const address = await lying({ ...SMALL, ...calls }); // which has neither UploadImage nor UploadImages
    const results = await all(client({ address }).uploadMany([DATA, DATA, DATA]));
    assert.deepEqual(results.map(({ error }) => error), [undefined, undefined, undefined]);
    assert.equal((await client({ address }).upload(DATA)).id, "1");
  });

  it("takes the long way with the id of a call that was cut, which may have stored the image", async () => {
    const ids: string[] = [];
    const names: string[] = [];
    const fails = (code: Code) => Object.assign(new Error("no"), { code });
    const refused = () => fails(ids.length % 3 === 1 ? Code.UNAVAILABLE : Code.UNIMPLEMENTED);
    const address = await lying({
      ...SMALL,
      uploadImage: ({ requestId }: pb.UploadImageRequest) => {
        ids.push(requestId);
        throw refused();
      },
      uploadImages: (call: Talks<pb.UploadImagesRequest, pb.UploadImagesResponse>) => {
        call.on("data", ({ requestId }: pb.UploadImagesRequest) => {
          ids.push(requestId);
          call.emit("error", refused());
        });
      },
      createUpload: ({ requestId, name }: pb.CreateUploadRequest) => {
        ids.push(requestId);
        names.push(name);
        return create(pb.CreateUploadResponseSchema, { upload: { id: "u", state: pb.Upload_State.READY, image: image() } });
      },
    });
    const path = join(await folder(), "image.png");
    await writeFile(path, DATA);
    await all(client({ address }).uploadMany([path]));
    await client({ address }).upload(path);
    await client({ address }).upload(path, { resume: true });
    assert.equal(ids.length, 9);
    assert.equal(new Set(ids).size, 3);
    assert.deepEqual(names, ["image.png", "image.png", "image.png"]);
  });
});

describe("a stream that ends before all was sent", () => {
  it("gives all replies to whoever is slow to take them, and then the reason", async () => {
    let ended = (): void => undefined;
    const sent = new Promise<void>((resolve) => (ended = resolve));
    const imageStreamReply = (call: Talks<GetImage, GetImageReply>) => {
      call.once("data", () => {
        for (const message of ["0", "1", "2"]) call.write(create(GetImageReplySchema, { message }));
        call.emit("error", { code: Code.UNAVAILABLE, details: "broken" });
        call.once("close", ended);
      });
    };
    const address = await lying({ imageStreamReply });
    const taken: string[] = [];
    const images = Array.from({ length: 1000 }, () => Buffer.alloc(MiB));
    await assert.rejects(async () => {
      for await (const { message } of client({ address }).imageStream(images)) {
        taken.push(message);
        await sent;
      }
    }, UnavailableError);
    assert.deepEqual(taken, ["0", "1", "2"]);
  });
});
