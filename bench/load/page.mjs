// Gives files to the page in Chromium, once: {"executable", "url", "files"} is a line on standard input, and
// {"seconds", "longest", "tasks"} a line on standard output. `seconds` is from the choice of the files until the page says
// that all are stored, `longest` the longest task of its main thread meanwhile, in milliseconds, and `tasks` how many
// there were of 50 ms or more. With "trace", what Chromium did is written to this file. With "bare", nothing but the calls is
// made, by a page that shows nothing: so long does Chromium take to send these files in any case.
//
// It speaks with Chromium itself, by the pipe of its DevTools, and asks only for what it needs. Playwright watches all
// that is sent and received, with the bytes of each upload, which takes longer than the upload.
import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"];
FLAGS.push("--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--window-size=1280,800");
// Pages of the address bar, which nobody sees here.
FLAGS.push("--disable-features=WebUIOmniboxPopup,WebUIOmniboxAimPopup");

/** A Chromium of its own, told what to do by messages that end with a NUL. */
class Chromium {
  #process;
  #waiting = new Map();
  #hearing = new Map();
  #last = 0;
  #rest = [];

  constructor(executable, folder) {
    this.#process = spawn(executable, [...FLAGS, `--user-data-dir=${folder}`, "--remote-debugging-pipe", "about:blank"], {
      stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"],
    });
    this.gone = new Promise((resolve) => this.#process.once("exit", resolve));
    this.#process.stdio[4].on("data", (piece) => this.#read(piece));
  }

  /** The answer to a command. Throws what the browser says against it. */
  async send(method, params = {}, sessionId = undefined) {
    const id = ++this.#last;
    const answer = new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
    this.#process.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    return await answer;
  }

  on(event, hear) {
    this.#hearing.set(event, hear);
  }

  #read(piece) {
    let from = 0;
    for (let end = piece.indexOf(0); end >= 0; end = piece.indexOf(0, from)) {
      const message = JSON.parse(Buffer.concat([...this.#rest.splice(0), piece.subarray(from, end)]).toString());
      from = end + 1;
      if (message.method) this.#hearing.get(message.method)?.(message.params);
      const asked = this.#waiting.get(message.id);
      this.#waiting.delete(message.id);
      if (message.error) asked?.reject(new Error(message.error.message));
      else asked?.resolve(message.result);
    }
    this.#rest.push(piece.subarray(from));
  }
}

/** Runs in the page before its own scripts. */
function watch() {
  window.longTasks = [];
  new PerformanceObserver((list) => window.longTasks.push(...list.getEntries())).observe({ type: "longtask" });
  window.addEventListener("change", () => (window.begun = performance.now()), { capture: true });
}

/** Runs in the page once the files are chosen: its promise has the result. */
async function finished() {
  const tray = document.querySelector(".tray");
  const done = () => !tray.hidden && tray.querySelector("h2").textContent === "All uploads are done";
  while (!done()) {
    await new Promise((resolve) => {
      const change = new MutationObserver(() => (change.disconnect(), resolve()));
      change.observe(tray.querySelector("h2"), { childList: true, characterData: true, subtree: true });
    });
  }
  const end = performance.now();
  await new Promise((resolve) => setTimeout(resolve, 100)); // the observer hears of a task after it
  const tasks = window.longTasks
    .filter(({ startTime, duration }) => startTime + duration > window.begun && startTime < end)
    .map(({ duration }) => duration);
  return { seconds: (end - window.begun) / 1000, longest: Math.max(0, ...tasks), tasks: tasks.length };
}

/** Runs in a page that shows nothing: stores the files that this input has, three at a time. */
async function send(input) {
  const varint = (value) => (value < 128 ? [value] : [(value & 127) | 128, ...varint(value >>> 7)]);
  const begun = performance.now();
  const files = [...input.files];
  const store = async (file) => {
    const image = new Uint8Array(await file.arrayBuffer());
    const id = new TextEncoder().encode(crypto.randomUUID());
    // UploadImageRequest, with its request_id and its image, in a frame of gRPC-Web.
    const head = [0x0a, id.length, ...id, 0x12, ...varint(image.length)];
    const body = new Uint8Array(5 + head.length + image.length);
    new DataView(body.buffer).setUint32(1, body.length - 5);
    body.set(head, 5);
    body.set(image, 5 + head.length);
    const headers = { "content-type": "application/grpc-web+proto" };
    const reply = await fetch("/conexiones.v1.UploadService/UploadImage", { method: "POST", headers, body });
    if (new Uint8Array(await reply.arrayBuffer())[0] !== 0) throw new Error("An image was refused.");
  };
  await Promise.all([1, 2, 3].map(async () => {
    for (let file = files.shift(); file; file = files.shift()) await store(file);
  }));
  return { seconds: (performance.now() - begun) / 1000 };
}

const { value: line } = await createInterface({ input: process.stdin })[Symbol.asyncIterator]().next();
const { executable, url, files, trace, bare } = JSON.parse(line);
const folder = await mkdtemp(join(tmpdir(), "conexiones-page-"));
const chromium = new Chromium(executable, folder);

async function given() {
  const { targetId } = await chromium.send("Target.createTarget", { url: "about:blank" });
  const { sessionId } = await chromium.send("Target.attachToTarget", { targetId, flatten: true });
  const page = (method, params) => chromium.send(method, params, sessionId);
  const evaluate = async (expression, rest) => {
    const { result, exceptionDetails } = await page("Runtime.evaluate", { expression, awaitPromise: true, ...rest });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result;
  };
  await page("Page.enable");
  await page("Page.addScriptToEvaluateOnNewDocument", { source: `(${watch})()` });
  const loaded = new Promise((resolve) => chromium.on("Page.loadEventFired", resolve));
  await page("Page.navigate", { url: bare ? `${url}learn` : url });
  await loaded;
  await page("Page.disable");
  if (bare) {
    const { objectId } = await evaluate(`Object.assign(document.createElement("input"), { type: "file", multiple: true })`);
    await page("DOM.setFileInputFiles", { files, objectId });
    const functionDeclaration = `async function () { return await (${send})(this); }`;
    const { result } = await page("Runtime.callFunctionOn", { functionDeclaration, objectId, awaitPromise: true, returnByValue: true });
    return result.value;
  }
  await evaluate(`(async () => { while (!document.body.innerText.includes("No images yet")) await new Promise(requestAnimationFrame); })()`);
  const ended = trace && new Promise((resolve) => chromium.on("Tracing.tracingComplete", ({ stream }) => resolve(stream)));
  if (trace) await chromium.send("Tracing.start", { categories: "devtools.timeline,disabled-by-default-devtools.timeline,toplevel", transferMode: "ReturnAsStream" });
  const { objectId } = await evaluate(`document.querySelector("#files")`);
  await page("DOM.setFileInputFiles", { files, objectId });
  const { value } = await evaluate(`(${finished})()`, { returnByValue: true });
  if (trace) {
    await chromium.send("Tracing.end");
    const handle = await ended;
    const pieces = [];
    for (let eof = false; !eof; ) {
      const piece = await chromium.send("IO.read", { handle });
      pieces.push(Buffer.from(piece.data, piece.base64Encoded ? "base64" : "utf8"));
      ({ eof } = piece);
    }
    await writeFile(trace, Buffer.concat(pieces));
  }
  return value;
}

try {
  console.log(JSON.stringify(await given()));
} finally {
  await chromium.send("Browser.close").catch(() => undefined);
  await chromium.gone;
  await rm(folder, { recursive: true, force: true, maxRetries: 5 });
}
