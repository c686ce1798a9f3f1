import assert from "node:assert/strict";
import { execFile, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { constants, createReadStream } from "node:fs";
import { chmod, lstat, mkdir, open, readdir, readFile, readlink, stat, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import type { Socket } from "node:net";
import { join } from "node:path";
import { before, describe, it } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";

import { NotFoundError } from "conexiones";
import type { Image, UploadOptions, UploadSource } from "conexiones";

import { address, bmp, client, elephant, folder, hex, MiB, photograph, sha256 } from "./support.js";

const run = promisify(execFile);
const conexiones = client();
const none = "00000000-0000-7000-8000-000000000000";
const bytes = bmp(2 * MiB);
let image: Image;
before(async () => {
  image = await conexiones.upload(bytes);
});

async function fifo(): Promise<string> {
  const path = join(await folder(), "fifo");
  execFileSync("mkfifo", [path]);
  return path;
}

/** What the SDK has left in a folder. */
async function ours(place: string): Promise<string[]> {
  return (await readdir(place)).filter((name) => /\.part$|\.conexiones-upload/.test(name));
}

/** The warnings of the process while `work` runs. */
async function warnings(work: () => Promise<unknown>): Promise<string[]> {
  const seen: string[] = [];
  const listener = ({ name, message }: Error) => name === "ConexionesWarning" && seen.push(message);
  process.on("warning", listener);
  await work();
  await new Promise((resolve) => setImmediate(resolve));
  process.off("warning", listener);
  return seen;
}

/** The standard output of a program that does `code` with a `client`, fed with `input` by a pipe. */
async function program(code: string, input: Uint8Array = Buffer.alloc(0)): Promise<Buffer> {
  const source = `import { Client } from "conexiones"; const client = new Client("${address}"); ${code}; client.close();`;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", source], {
    cwd: fileURLToPath(new URL(".", import.meta.url)),
    stdio: ["pipe", "pipe", "inherit"],
  });
  child.stdin.on("error", () => undefined).end(input);
  const parts: Buffer[] = [];
  for await (const part of child.stdout as AsyncIterable<Buffer>) parts.push(part);
  return Buffer.concat(parts);
}

describe("a path as a target", () => {
  it("of a regular file: replaced whole, with its permissions", async () => {
    const file = join(await folder(), "image.bmp");
    await writeFile(file, "what was there before", { mode: 0o600 });
    const opened = await open(file);
    await conexiones.download(image.id, file);
    assert.ok(bytes.equals(await readFile(file)));
    assert.equal((await stat(file)).mode & 0o777, 0o600);
    assert.equal(String(await opened.readFile()), "what was there before");
    await opened.close();
  });

  it("as a file: URL, and as text", async () => {
    const file = join(await folder(), "with a blank.bmp");
    await conexiones.download(image.id, pathToFileURL(file));
    await conexiones.download(image.id, pathToFileURL(file).href);
    assert.ok(bytes.equals(await readFile(file)));
  });

  it("of a symbolic link: the file that it names, which may not be there yet", async () => {
    const [place, other] = [await folder(), await folder()];
    await mkdir(join(other, "deep"));
    await symlink(join(other, "deep"), join(place, "folder"));
    await symlink("../image.bmp", join(other, "deep", "second"));
    await symlink("folder/second", join(place, "first"));
    for (const before of ["missing", "there"]) {
      await conexiones.download(image.id, join(place, "first"));
      assert.ok(bytes.equals(await readFile(join(other, "image.bmp"))), before);
      assert.equal(await readlink(join(place, "first")), "folder/second");
      assert.deepEqual((await readdir(other)).sort(), ["deep", "image.bmp"]);
      assert.deepEqual((await readdir(place)).sort(), ["first", "folder"]);
    }
  });

  it("of links in a circle, of a folder, of a file as a folder, and of no folder", async () => {
    const place = await folder();
    await symlink("circle", join(place, "circle"));
    await symlink(place, join(place, "link"));
    await writeFile(join(place, "file"), "");
    const into = async (...path: string[]) => await conexiones.download(image.id, path.join("/"));
    await assert.rejects(into(place, "circle"), { code: "ELOOP" });
    await assert.rejects(into(place), { code: "EISDIR", message: `${place} is a folder: name a file.` });
    for (const name of ["link", "", "file/", "none/"]) await assert.rejects(into(place, name), { code: "EISDIR" });
    await assert.rejects(conexiones.download(image.id, ""), { code: "EISDIR" });
    await assert.rejects(into(place, "none", "image"), { code: "ENOENT" });
    await assert.rejects(conexiones.download(image.id, "https://localhost/image"), /Nothing can be written to a https: URL/);
    await assert.rejects(conexiones.download(image.id, "s3://bucket/image"), /Nothing can be written to a s3: URL/);
    assert.deepEqual((await readdir(place)).sort(), ["circle", "file", "link"]);
  });

  it("with the longest name that there is", async () => {
    const place = await folder();
    const name = "ñ".repeat(127);
    await conexiones.download(image.id, join(place, name), { resume: true });
    assert.equal((await conexiones.upload(join(place, name), { resume: true })).name, name);
    assert.deepEqual(await readdir(place), [name]);
  });

  it("of devices: written to, and nothing is left beside them", async () => {
    const place = await folder();
    await symlink("/dev/null", join(place, "null"));
    for (const device of ["/dev/null", join(place, "null")]) {
      assert.equal((await conexiones.download(image.id, device)).id, image.id);
      await assert.rejects(conexiones.download(none, device), NotFoundError);
    }
    await assert.rejects(conexiones.download(image.id, "/dev/full"), { code: "ENOSPC" });
    const said = await warnings(() => conexiones.download(image.id, "/dev/null", { resume: true }));
    assert.deepEqual(said, ["/dev/null is no regular file, so another process cannot resume the download."]);
    assert.ok((await lstat("/dev/null")).isCharacterDevice());
    assert.ok((await lstat(join(place, "null"))).isSymbolicLink());
    assert.deepEqual(await ours("/dev"), []);
  });

  it("of a file that may not become so long: the error names it, and what came is kept", async () => {
    const place = await folder();
    const path = join(place, "image");
    const said = await program(`
      const { execFileSync } = await import("node:child_process");
      execFileSync("prlimit", ["--pid", String(process.pid), "--fsize=${MiB}"]);
      await client.download("${image.id}", ${JSON.stringify(path)}).catch(({ code, path, message }) => {
        process.stdout.write(JSON.stringify({ code, path, message }));
      })`);
    assert.deepEqual(JSON.parse(said.toString()), { code: "EFBIG", path, message: `${path} cannot be written: EFBIG.` });
    const [kept = ""] = await readdir(place);
    assert.equal((await stat(join(place, kept))).size, MiB);
  });

  it("of a FIFO: written to, as soon as somebody reads", async () => {
    const path = await fifo();
    const downloading = conexiones.download(image.id, path);
    const { stdout } = await run("cat", [path], { encoding: "buffer", maxBuffer: 2 * bytes.length });
    await downloading;
    assert.ok(bytes.equals(stdout));
    assert.ok((await lstat(path)).isFIFO());
    await assert.rejects(conexiones.download(none, path), NotFoundError);
  });

  it("of a FIFO that nobody reads, or whose reader goes", async () => {
    const path = await fifo();
    await assert.rejects(conexiones.download(image.id, path, { signal: AbortSignal.timeout(100) }), { name: "TimeoutError" });
    const broken = assert.rejects(conexiones.download(image.id, path), { code: "EPIPE" });
    const reader = await open(path, constants.O_RDONLY);
    await reader.close();
    await broken;
  });

  it("of a socket: written to", async () => {
    const path = join(await folder(), "socket");
    const server = createServer().listen(path);
    await once(server, "listening");
    const connection = once(server, "connection") as Promise<[Socket]>;
    const downloading = conexiones.download(image.id, path);
    const [socket] = await connection;
    const got: Buffer[] = [];
    for await (const part of socket as AsyncIterable<Buffer>) got.push(part);
    await downloading;
    server.close();
    assert.ok(bytes.equals(Buffer.concat(got)));
  });

  it("of an open descriptor: written to from where it is", async () => {
    const file = join(await folder(), "both");
    const handle = await open(file, "w");
    await handle.write("before");
    await conexiones.download(image.id, `/dev/fd/${handle.fd}`);
    await handle.write("after");
    await handle.close();
    assert.ok(Buffer.concat([Buffer.from("before"), bytes, Buffer.from("after")]).equals(await readFile(file)));
    assert.ok(bytes.equals(await program(`await client.download("${image.id}", "/dev/stdout")`)));
  });
});

describe("a path as a source", () => {
  const sent = async (source: UploadSource, options?: UploadOptions) => hex((await conexiones.upload(source, options)).sha256);

  it("of a FIFO or a socket: read to its end, once", async () => {
    const path = await fifo();
    let uploading = sent(path, { resume: true });
    await run("cp", [fileURLToPath(elephant), path]);
    assert.equal(await uploading, sha256(photograph));
    assert.deepEqual(await readdir(join(path, "..")), ["fifo"]);
    const socket = join(await folder(), "socket");
    const server = createServer((connection) => connection.end(photograph)).listen(socket);
    await once(server, "listening");
    uploading = sent(socket);
    assert.equal(await uploading, sha256(photograph));
    server.close();
  });

  it("of a FIFO that nobody writes: until its signal", async () => {
    await assert.rejects(sent(await fifo(), { signal: AbortSignal.timeout(100) }), { name: "TimeoutError" });
  });

  it("of a device or a folder", async () => {
    await assert.rejects(sent("/dev/null"), /empty|without a byte/);
    await assert.rejects(sent("/dev/zero"), { reason: "NOT_AN_IMAGE" });
    await assert.rejects(sent("/dev"), { code: "EISDIR", message: "/dev is a folder: name a file." });
  });

  it("that can be read only once is sent without a state file, and says so", async () => {
    const read = 'console.log(Buffer.from((await client.upload("/dev/stdin", { resume: true })).sha256).toString("hex"))';
    assert.equal(String(await program(read, photograph)), `${sha256(photograph)}\n`);
    const file = createReadStream(elephant);
    await once(file, "open");
    const { fd } = file as unknown as { fd: number };
    const said = await warnings(async () => assert.equal(await sent(`/dev/fd/${fd}`, { resume: true }), sha256(photograph)));
    assert.deepEqual(said, [`/dev/fd/${fd} can be read only once, so another process cannot resume its upload.`]);
    file.destroy();
    assert.deepEqual(await ours("/dev"), []);
  });

  it("beside which nothing can be written is sent without a state file, and says so", async () => {
    const place = await folder();
    // A folder in the place of the state file stops root, too, unlike the permissions of the folder around it.
    const file = join(place, "image.jpg");
    await writeFile(file, photograph);
    await mkdir(`${file}.conexiones-upload`);
    const said = await warnings(async () => assert.equal(await sent(file, { resume: true }), sha256(photograph)));
    assert.deepEqual(said, ["Nothing can be kept beside the file (EISDIR), so another process cannot resume its upload."]);
    assert.deepEqual(await readdir(place), ["image.jpg", "image.jpg.conexiones-upload"]);
    await assert.rejects(sent(elephant, { resume: join(place, "none"), chunkSize: 100_000 }), { code: "ENOENT" });
  });

  it("that may not be read, or is not there: its own error", async () => {
    const place = await folder();
    await assert.rejects(sent(join(place, "none.jpg")), { code: "ENOENT", path: join(place, "none.jpg") });
    if (process.getuid?.() === 0) return;
    await writeFile(join(place, "secret"), photograph);
    await chmod(join(place, "secret"), 0);
    await assert.rejects(sent(join(place, "secret")), { code: "EACCES" });
  });
});
