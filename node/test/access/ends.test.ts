import assert from "node:assert/strict";
import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";

import type { ClientOptions, WatchEvent } from "conexiones";

import { bmp, client, folder, MiB, sha256, hex } from "../support.js";
import { admin, filed, names, token } from "./support.js";

/** What never happens fails its own test, by name, and not the whole file much later. */
const LIMIT = { timeout: 60_000 };

/** A way to wait for something that happens once. */
function event<T = void>() {
  let happen: (value: T) => void = () => undefined;
  const happened = new Promise<T>((resolve) => (happen = resolve));
  return { happen, happened };
}

/** The bytes in two parts, of which the second comes when `go` is resolved. */
async function* parted(bytes: Uint8Array, go: Promise<void>): AsyncGenerator<Uint8Array> {
  yield bytes.subarray(0, 9 * MiB);
  await go;
  yield bytes.subarray(9 * MiB);
}

/** A watch that is listening, and what it does next. */
async function listening(options: ClientOptions) {
  const { happen, happened } = event();
  const made = client(options);
  const next = made.watch({ onHeartbeat: () => happen() }).next();
  next.catch(() => undefined);
  await happened;
  return { made, next };
}

describe("when its token is revoked", () => {
  it("a watch ends, and does not connect again", LIMIT, async () => {
    const { token: made, secret } = await token(["read"]);
    const { next } = await listening({ token: secret });
    await admin.revokeToken(made.id);
    await assert.rejects(next, { name: "AccessError", reason: "TOKEN_REVOKED" });
  });

  it("a watch goes on with the one that is in the file by then", LIMIT, async () => {
    const file = await filed(["read"]);
    const [listens, again] = [event(), event()];
    let heartbeats = 0;
    const user = names();
    const onHeartbeat = () => ((heartbeats += 1) === 1 ? listens : again).happen();
    const watching = file.client.watch({ user, onHeartbeat });
    const next = watching.next();
    await listens.happened;
    await file.rotate();
    await again.happened;
    const { id } = await admin.upload(bmp(1000), { user });
    const { value } = (await next) as { value: WatchEvent & { kind: "stored" } };
    assert.deepEqual([value.kind, value.image.id], ["stored", id]);
    await watching.return();
  });

  it("an upload ends; another process goes on with it, with another token of that name", LIMIT, async () => {
    const [file, name] = [join(await folder(), "image.bmp"), names()];
    const image = bmp(24 * MiB);
    await writeFile(file, image);
    const { token: made, secret } = await token(["read", "write"], { name });
    let revoked: Promise<unknown> | undefined;
    const first = client({ token: secret });
    // The server makes bytes durable piece by piece, and each of them waits for its acknowledgement.
    const interrupted = first.upload(file, {
      resume: true,
      chunkSize: 64 << 10,
      onProgress: ({ bytes }) => {
        if (bytes) revoked ??= admin.revokeToken(made.id);
      },
    });
    await assert.rejects(interrupted, { reason: "TOKEN_REVOKED" });
    await revoked;
    assert.deepEqual((await readdir(join(file, ".."))).sort(), ["image.bmp", "image.bmp.conexiones-upload"]);
    const steps: number[] = [];
    const second = client({ token: (await token(["read", "write"], { name })).secret });
    const stored = await second.upload(file, { resume: true, onProgress: ({ bytes }) => steps.push(bytes) });
    assert.ok((steps[0] ?? 0) > 0, `${steps[0]}`);
    assert.equal(hex(stored.sha256), sha256(image));
    assert.deepEqual(await readdir(join(file, "..")), ["image.bmp"]);
  });

  it("an upload goes on with the one that is in the file by then", LIMIT, async () => {
    const file = await filed(["write"]);
    const [image, go, begun] = [bmp(20 * MiB), event(), event()];
    const stored = file.client.upload(parted(image, go.happened), { onProgress: ({ bytes }) => bytes && begun.happen() });
    await begun.happened;
    await file.rotate();
    go.happen();
    assert.equal(hex((await stored).sha256), sha256(image));
  });

  it("a download goes on with the one that is in the file by then, or ends", LIMIT, async () => {
    const file = await filed(["read"]);
    const { id, sha256: sum } = await admin.upload(bmp(64 * MiB));
    const [begun, go] = [event(), event()];
    const pieces: Uint8Array[] = [];
    const target = () =>
      new WritableStream<Uint8Array>({
        async write(bytes) {
          begun.happen();
          await go.happened; // so that most of the image is still to come
          pieces.push(bytes);
        },
      });
    const got = file.client.download(id, target());
    await begun.happened;
    await file.rotate();
    go.happen();
    await got;
    assert.equal(sha256(Buffer.concat(pieces)), hex(sum));
    await file.revoke();
    await assert.rejects(file.client.download(id, target()), { reason: "TOKEN_REVOKED" });
    await admin.delete(id);
  });
});

describe("when its token expires", () => {
  it("a watch ends", LIMIT, async () => {
    const { secret } = await token(["read"], { expiresMs: 2_000 });
    const made = client({ token: secret });
    await assert.rejects(made.watch().next(), { name: "AccessError", reason: "TOKEN_EXPIRED" });
  });
});
