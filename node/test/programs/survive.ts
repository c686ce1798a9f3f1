// Makes streams fail in every way that callers may meet, without a listener for their errors, and prints a line for each.
// An error that nobody handles ends this program.
//
//     survive      →   {"what": "…", "error": "code or reason", "destroyed": true}
import { once } from "node:events";
import { createReadStream, createWriteStream } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, get } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import { connect, createServer as createHttp2Server } from "node:http2";
import type { Http2ServerResponse } from "node:http2";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, Readable, Writable } from "node:stream";
import { WritableStream } from "node:stream/web";
import { Worker, isMainThread, workerData } from "node:worker_threads";

import { Client, ConexionesError } from "conexiones";
import type { DownloadTarget } from "conexiones";

import { bmp, elephant, MiB, photograph } from "../support.js";

const client = Client.fromEnviron();
const none = "00000000-0000-7000-8000-000000000000";
const nothing = () => undefined;
const drop = (options: object = {}) => new Writable({ write: (_chunk, _encoding, done) => done(), ...options });
const broken = () => drop({ write: (_chunk: unknown, _encoding: unknown, done: (error: Error) => void) => done(new Error("broken")) });

async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return "";
  } catch (error) {
    if (error instanceof ConexionesError) return error.reason || error.name;
    const { code, name, message } = error as NodeJS.ErrnoException;
    return typeof code === "string" ? code : (name === "Error" ? message : name);
  }
}

function say(what: string, error: string, more: object = {}): void {
  console.log(JSON.stringify({ what, error, ...more }));
}

async function into(what: string, id: string, target: Writable, signal?: AbortSignal): Promise<void> {
  const error = await codeOf(client.download(id, target, { signal }));
  // What is still to come, comes now.
  await new Promise((resolve) => setImmediate(resolve));
  say(what, error, { destroyed: target.destroyed });
}

async function streams(id: string, folder: string): Promise<void> {
  const file = () => createWriteStream(join(folder, "image"));
  await into("an image that is not there", none, file());
  await into("a full disk", id, createWriteStream("/dev/full"));
  await into("a folder that is not there", id, createWriteStream(join(folder, "none", "image")));
  await into("a stream that breaks", id, broken());
  await into("a stream that breaks at its end", id, drop({ final: (done: (error: Error) => void) => done(new Error("late")) }));
  await into("a destroyed stream", id, drop().destroy());
  await into("a stream that was destroyed with an error", id, drop().on("error", nothing).destroy(new Error("before")));
  await into("an ended stream", id, drop().end());
  await into("a stream that was aborted before", id, file(), AbortSignal.abort());
  for (const [what, end] of Object.entries({
    "a stream that is destroyed meanwhile": (stream: Writable) => stream.destroy(),
    "a stream that is ended meanwhile": (stream: Writable) => stream.end(),
  })) {
    const stream = new PassThrough();
    stream.once("data", () => end(stream));
    await into(what, id, stream);
  }
  const controller = new AbortController();
  const stuck = drop({ write: () => controller.abort() });
  await into("a stream that never drains, aborted", id, stuck, controller.signal);
  const endless = new AbortController();
  await into("a stream that never ends, aborted", id, drop({ final: () => endless.abort() }), endless.signal);
}

async function webStreams(id: string): Promise<void> {
  const failing = new WritableStream<Uint8Array>({ write: () => Promise.reject(new Error("broken")) });
  say("a web stream that breaks", await codeOf(client.download(id, failing)));
  let reason: unknown;
  const aborted = new WritableStream<Uint8Array>({ abort: (why) => void (reason = why) });
  const error = await codeOf(client.download(none, aborted));
  say("a web stream for an image that is not there", error, { aborted: reason instanceof ConexionesError });
  const locked = new WritableStream<Uint8Array>();
  locked.getWriter();
  say("a locked web stream", await codeOf(client.download(id, locked)));
}

async function responses(id: string, large: string): Promise<void> {
  const serve = async (wanted: string, response: ServerResponse) => {
    try {
      await client.download(wanted, response);
    } catch (error) {
      if (response.headersSent) return;
      response.writeHead(404).end((error as ConexionesError).reason);
    }
  };
  const web = createServer((request, response) => void serve((request.url ?? "").slice(1), response)).listen(0, "127.0.0.1");
  await once(web, "listening");
  const base = `http://127.0.0.1:${(web.address() as AddressInfo).port}`;
  const [good, bad] = [await fetch(`${base}/${id}`), await fetch(`${base}/${none}`)];
  say("an HTTP response", await bad.text(), { statuses: [good.status, bad.status], bytes: (await good.arrayBuffer()).byteLength });
  let over: Promise<string> | undefined;
  web.removeAllListeners("request").on("request", (_request, response: ServerResponse) => {
    over = codeOf(client.download(large, response));
  });
  const leaving = get(base);
  leaving.on("error", nothing);
  const [coming] = (await once(leaving, "response")) as [IncomingMessage];
  coming.on("error", nothing).destroy();
  say("an HTTP client that has gone", (await over) ?? "");
  web.close();
  web.closeAllConnections();
}

async function http2Responses(id: string): Promise<void> {
  let over: Promise<string> | undefined;
  const web = createHttp2Server((request, response) => {
    over = codeOf(download(request.url.slice(1), response));
  }).listen(0, "127.0.0.1");
  const download = async (wanted: string, response: Http2ServerResponse) => {
    const controller = new AbortController();
    const onProgress = () => wanted === id && controller.abort();
    try {
      await client.download(wanted, response as unknown as DownloadTarget, { signal: controller.signal, onProgress });
    } catch (error) {
      if (!response.headersSent) response.writeHead(404).end();
      throw error;
    }
  };
  await once(web, "listening");
  const session = connect(`http://127.0.0.1:${(web.address() as AddressInfo).port}`);
  for (const wanted of [none, id]) {
    const stream = session.request({ ":path": `/${wanted}` });
    stream.on("error", nothing);
    const [headers] = (await once(stream, "response")) as [{ ":status": number }];
    stream.resume();
    await new Promise((resolve) => stream.once("close", resolve));
    say("an HTTP/2 response", (await over) ?? "", { status: headers[":status"], whole: stream.readableEnded && stream.rstCode === 0 });
  }
  session.close();
  web.close();
}

async function sources(folder: string): Promise<void> {
  const missing = () => createReadStream(join(folder, "none"));
  say("a source that is not there", await codeOf(client.upload(missing())));
  say("such a source of a stream", await codeOf(client.streamImage(missing())));
  const nobody = new Client({ address: "127.0.0.1:1", patienceMs: 300 });
  const failing = Readable.from([photograph]);
  setImmediate(() => failing.destroy(new Error("early")));
  say("a source that fails before it is read", await codeOf(nobody.upload(failing)), { destroyed: failing.destroyed });
  nobody.close();
  const unread = createReadStream(elephant);
  say("a source that was aborted before", await codeOf(client.upload(unread, { signal: AbortSignal.abort() })), {
    destroyed: unread.destroyed,
  });
  const unwanted = createReadStream(elephant);
  say("a source with a wrong option", await codeOf(client.upload(unwanted, { chunkSize: 0 })), { destroyed: unwanted.destroyed });
}

async function iterators(): Promise<void> {
  let closed = 0;
  async function* users() {
    try {
      for (;;) yield { name: "Ada" };
    } finally {
      closed += 1;
    }
  }
  for await (const { name } of client.userStream(users())) if (name) break;
  async function* failing() {
    yield photograph;
    throw new Error("no more images");
  }
  const images = client.imageStream(failing());
  const reading = async () => {
    while (!(await images.next()).done);
  };
  say("a stream of images that fails", await codeOf(reading()));
  for await (const { id } of client.images({ pageSize: 1 })) if (id) break;
  const watching = client.watch();
  const next = watching.next();
  client.upload(photograph).catch(nothing);
  await next;
  await watching.return();
  while (!closed) await new Promise((resolve) => setImmediate(resolve));
}

async function thread(id: string): Promise<void> {
  const worker = new Worker(new URL(import.meta.url), { workerData: id });
  const [error] = (await once(worker, "message")) as [string];
  const [code] = (await once(worker, "exit")) as [number];
  say("a thread", error, { code });
}

if (isMainThread) {
  const folder = await mkdtemp(join(tmpdir(), "conexiones-node-"));
  try {
    const { id } = await client.upload(bmp(4 * MiB));
    await streams(id, folder);
    await webStreams(id);
    // Larger than what the buffers of a connection hold.
    await responses(id, (await client.upload(bmp(24 * MiB))).id);
    await http2Responses(id);
    await sources(folder);
    await iterators();
    await thread(id);
  } finally {
    await rm(folder, { recursive: true });
  }
  say("the end", "");
} else {
  const { parentPort } = await import("node:worker_threads");
  const whole = await client.download(workerData as string);
  const failed = await codeOf(client.download(workerData as string, broken()));
  parentPort?.postMessage(whole.length > 4 * MiB ? failed : "short");
}
client.close();
