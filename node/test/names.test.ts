import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { openAsBlob } from "node:fs";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { pathToFileURL } from "node:url";

import type { Image, ListOptions, UploadOptions, UploadSource, WatchEvent } from "conexiones";

import { bmp, client, elephant, folder, hex, MiB, photograph, pieces, sha256 } from "./support.js";

const conexiones = client();

async function list(options: ListOptions): Promise<string[]> {
  const ids: string[] = [];
  for await (const { id } of conexiones.images(options)) ids.push(id);
  return ids;
}

describe("the name of a file", () => {
  const named = async (source: UploadSource, options?: UploadOptions) => (await conexiones.upload(source, options)).name;

  it("is that of a path, of a file: URL and of a File, if no other is given", async () => {
    const place = await folder();
    const file = join(place, "Málaga.jpg");
    await writeFile(file, photograph);
    assert.equal(await named(file), "Málaga.jpg");
    assert.equal(await named(pathToFileURL(file)), "Málaga.jpg");
    assert.equal(await named(new File([photograph], "Cádiz.jpg")), "Cádiz.jpg");
    assert.equal(await named(file, { name: "Sevilla.jpg" }), "Sevilla.jpg");
    assert.equal(await named(file, { name: "" }), "");
    for (const source of [photograph, pieces(photograph), new Blob([photograph])]) assert.equal(await named(source), "");
    assert.equal(await named(photograph, { name: "C:\\photos\\Ávila.jpg" }), "Ávila.jpg");
  });

  it("that the server would refuse is changed if it was not given, and refused if it was", async () => {
    const file = join(await folder(), "two\nlines.jpg");
    await writeFile(file, photograph);
    assert.equal(await named(file), "two_lines.jpg");
    assert.equal(await named(new File([photograph], "ñ".repeat(200))), "ñ".repeat(127));
    assert.equal(await named(new File([photograph], "../../.bashrc")), ".bashrc");
    for (const name of ["two\nlines.jpg", "ñ".repeat(128)]) await assert.rejects(named(photograph, { name }), { field: "name" });
  });

  it("may have any characters, and is never cut within one", async () => {
    const strange = ["Ma\u0301laga.jpg", "👨‍👩‍👧🏽.jpg", "foto\u202Egpj.jpg", "\u200Fصورة.jpg", "\u{10FFFF}\uFFFF.jpg", "\u200B", " .jpg"];
    for (const name of strange) {
      assert.equal(await named(photograph, { name }), name);
      assert.equal(await named(new File([photograph], name)), name);
    }
    assert.equal(await named(new File([photograph], "🦤".repeat(100))), "🦤".repeat(63));
    // Half of a surrogate pair is no character.
    for (const name of ["\uD83E.jpg", "a\uDD24"]) {
      const fault = { reason: "INVALID_FIELD", field: "name" };
      await assert.rejects(named(photograph, { name }), fault);
      await assert.rejects(conexiones.getUser({ name }), fault);
      assert.equal(await named(new File([photograph], name)), name.replace(/\p{Cs}/u, "\uFFFD"));
    }
  });

  it("is in every description", async () => {
    const user = randomUUID();
    const { id, name } = await conexiones.upload(elephant, { user });
    assert.equal(name, "elephant.jpg");
    assert.equal((await conexiones.image(id)).name, name);
    assert.equal((await conexiones.download(id, join(await folder(), "image"))).name, name);
    const told = new Promise<WatchEvent>((resolve, reject) => {
      const watch = async () => {
        const onHeartbeat = () => void conexiones.upload(photograph, { user, name: "again.jpg" }).catch(reject);
        for await (const event of conexiones.watch({ user, onHeartbeat })) return event;
        throw new Error("Watching has ended.");
      };
      watch().then(resolve, reject);
    });
    const event = await told;
    assert.ok(event.kind === "stored" && event.image.name === "again.jpg");
  });

  it("belongs to an upload that is resumed", async () => {
    const [place, states] = [await folder(), await folder()];
    const file = join(place, "image.bmp");
    await writeFile(file, bmp(12 * MiB));
    const interrupt = async () => {
      const controller = new AbortController();
      const onProgress = ({ bytes }: { bytes: number }) => bytes > 0 && controller.abort();
      const options = { resume: states, signal: controller.signal, onProgress };
      await assert.rejects(conexiones.upload(file, options), { name: "AbortError" });
    };
    const finish = async (name?: string): Promise<[Image, number]> => {
      let first: number | undefined;
      const options = { resume: states, onProgress: ({ bytes }: { bytes: number }) => (first ??= bytes), name };
      return [await conexiones.upload(file, options), first ?? 0];
    };
    await interrupt();
    let [image, begun] = await finish();
    assert.deepEqual([image.name, begun > 0], ["image.bmp", true]);
    // With another name, it is another upload.
    await writeFile(file, bmp(12 * MiB));
    await interrupt();
    [image, begun] = await finish("other.bmp");
    assert.deepEqual([image.name, begun], ["other.bmp", 0]);
  });

  it("is not asked of a state file of a version that sent no names", async () => {
    const [place, states] = [await folder(), await folder()];
    const file = join(place, "image.bmp");
    await writeFile(file, bmp(12 * MiB));
    const controller = new AbortController();
    const onProgress = ({ bytes }: { bytes: number }) => bytes > 0 && controller.abort();
    const options = { resume: states, signal: controller.signal, onProgress, name: "" };
    await assert.rejects(conexiones.upload(file, options), { name: "AbortError" });
    const [state = ""] = await readdir(states);
    const text = await readFile(join(states, state), "utf8");
    await writeFile(join(states, state), text.replace(',"name":""', ""));
    let first: number | undefined;
    const image = await conexiones.upload(file, { resume: states, onProgress: ({ bytes }) => (first ??= bytes) });
    assert.ok((first ?? 0) > 0);
    assert.equal(image.name, "");
    assert.deepEqual(await readdir(states), []);
  });
});

describe("a list", () => {
  it("of names, in whatever case", async () => {
    const user = randomUUID();
    const store = async (name: string) => (await conexiones.upload(photograph, { user, name })).id;
    const [first, second] = [await store("MÁLAGA 1.jpg"), await store("Málaga 2.JPG")];
    await store("Cádiz.jpg");
    assert.deepEqual(await list({ user, name: "málaga" }), [second, first]);
    assert.deepEqual(await list({ user, name: "nowhere" }), []);
    assert.equal((await list({ user, name: "" })).length, 3);
  });

  it("of digests, as bytes or in hexadecimal", async () => {
    const bytes = bmp(5_000);
    const { id } = await conexiones.upload(bytes);
    const [sum, other] = [sha256(bytes), sha256(Buffer.from("nothing"))];
    assert.deepEqual(await list({ sha256: [sum, other] }), [id]);
    assert.deepEqual(await list({ sha256: [Buffer.from(sum, "hex")] }), [id]);
    assert.deepEqual(await list({ sha256: [other] }), []);
    assert.deepEqual(await list({ sha256: [] }), []);
  });
});

describe("further sources give the same image", () => {
  const copy = new Uint8Array(photograph).buffer;
  const sources: Record<string, () => UploadSource | Promise<UploadSource>> = {
    "a Blob": () => new Blob([photograph]),
    "a Blob over a file": () => openAsBlob(elephant),
    "an ArrayBuffer": () => copy,
    "an array of pieces": () => [photograph.subarray(0, 1000), photograph.subarray(1000)],
    "a generator": function* () {
      yield photograph;
    } as () => UploadSource,
    "a file: URL as text": () => elephant.href,
    "a data: URL": () => `data:image/jpeg;base64,${photograph.toString("base64")}`,
  };
  for (const [name, source] of Object.entries(sources)) {
    it(name, async () => {
      const stored = await conexiones.upload(await source(), { chunkSize: 100_000 });
      assert.equal(hex(stored.sha256), sha256(photograph));
    });
  }

  it("and what is none, is refused with what is", async () => {
    for (const source of [null, undefined, 42, {}, new Uint16Array(4), () => photograph]) {
      await assert.rejects(conexiones.upload(source as never), /^TypeError: The source is a path, a URL, bytes/);
    }
    await assert.rejects(conexiones.upload("ftp://localhost/image.jpg"), /No image can be read from a ftp: URL: fetch it/);
    await assert.rejects(conexiones.upload("http://127.0.0.1:1/image.jpg"), /127.0.0.1:1\/image.jpg could not be fetched: bad port/);
    await assert.rejects(conexiones.upload("http://127.0.0.1:1/a?signature=hidden"), /^Error: (?!.*hidden).*\/a could not be fetched/);
    await assert.rejects(conexiones.upload("http://me:hidden@127.0.0.1:1/a"), /^TypeError: (?!.*hidden).*fetch it with a header/);
  });
});
