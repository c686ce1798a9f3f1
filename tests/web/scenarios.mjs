// The scenarios: what people do with the page. Each takes { given, context, open, ask }: see page.mjs.
import { barriers, expect, shot, stored, tiles, upload } from "./steps.mjs";

/** Uploads files by the file input; each becomes a tile with its thumbnail. */
export async function input({ given, open }) {
  const page = await open();
  await page.getByText(given.empty).waitFor();
  await shot(page, given, "empty");
  await upload(page, given.files);
  await stored(page, given.files.length);
  await tiles(page, given.files.length);
  if (given.thumbnails) await page.locator(".tile.shown").nth(given.files.length - 1).waitFor();
  await shot(page, given, "gallery");
  return await page.locator(".grid li").evaluateAll((all) => all.map((one) => one.dataset.id));
}

/** Drops files and a folder, as real browser objects, and then pastes a file. */
export async function drop({ given, context, open }) {
  const page = await open();
  await page.getByText("No images yet").waitFor();
  const devtools = await context.newCDPSession(page);
  const data = { items: [], files: given.dropped, dragOperationsMask: 1 };
  for (const type of ["dragEnter", "dragOver"]) await devtools.send("Input.dispatchDragEvent", { type, x: 500, y: 400, data });
  await page.locator(".curtain.down").waitFor();
  await devtools.send("Input.dispatchDragEvent", { type: "drop", x: 500, y: 400, data });
  await stored(page, given.count);
  await page.evaluate((base64) => {
    const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
    const clipboardData = new DataTransfer();
    clipboardData.items.add(new File([bytes], "pasted.png", { type: "image/png" }));
    dispatchEvent(new ClipboardEvent("paste", { clipboardData, cancelable: true }));
  }, given.pasted);
  await stored(page, given.count + 1);
  await tiles(page, given.count + 1);
}

/** Uploads a large file, while the server is killed and started again. */
export async function restart({ given, open, ask }) {
  const page = await open();
  await tiles(page, given.count);
  await page.locator(".tile.shown").nth(given.count - 1).waitFor();
  await upload(page, [given.file]);
  await progress(page, 0.2);
  await shot(page, given, "uploading");
  await ask("kill");
  await page.getByText("trying again").first().waitFor();
  await shot(page, given, "unreachable");
  await ask("start");
  await stored(page, 1);
  await tiles(page, given.count + 1);
  await page.locator('.live[data-state="live"]').waitFor();
}

/** Uploads a large file to one of several servers, which is killed in the middle: the upload goes on at another one, and
 *  so does watching. Returns the milliseconds that each of them took. */
export async function another({ given, open, ask }) {
  const page = await open();
  await page.locator('.live[data-state="live"]').waitFor();
  await upload(page, [given.file]);
  await progress(page, 0.3);
  await ask("kill");
  const begun = performance.now();
  const since = (done) => done.then(() => Math.round(performance.now() - begun));
  const watching = since(page.locator('.live[data-state="live"]').waitFor().then(() => ask("store")).then(() => tiles(page, 2)));
  const uploaded = await since(stored(page, 1));
  return { uploaded, watched: await watching };
}

/** Uploads a large file and reloads the page in the middle: choosing the same file resumes the upload. */
export async function reload({ given, open }) {
  const page = await open();
  await page.getByText("No images yet").waitFor();
  await upload(page, [given.file]);
  await progress(page, 0.3);
  await page.reload();
  const row = page.locator('.upload[data-state="interrupted"]');
  await row.waitFor();
  await shot(page, given, "interrupted");
  const offsets = [];
  page.on("request", (request) => request.url().endsWith("/WriteChunk") && offsets.push(request.postDataBuffer()?.length ?? 0));
  const wrong = page.locator("[data-again]");
  await wrong.setInputFiles(given.other);
  await page.getByText("That is another file").waitFor();
  await page.locator("[data-again]").setInputFiles(given.file);
  await stored(page, 1);
  await tiles(page, 1);
  return offsets.reduce((sum, size) => sum + size, 0);
}

/** Drops a file for which the browser gives a handle, and reloads the page in the middle: the upload resumes without
 *  choosing the file again. The handle is of the page's own file system, because for other files a person has to give
 *  permission. */
export async function handle({ given, open }) {
  const page = await open();
  await page.getByText("No images yet").waitFor();
  await page.evaluate(() => document.body.append(Object.assign(document.createElement("input"), { type: "file", id: "from" })));
  await page.locator("#from").setInputFiles(given.file);
  const reloaded = page.waitForEvent("load");
  await page.evaluate(async () => {
    // From within the page, because an upload may be over before a reload is asked for from here.
    new MutationObserver(() => {
      if ((document.querySelector(".upload progress")?.position ?? 0) >= 0.3) document.location.reload();
    }).observe(document.body, { subtree: true, childList: true, attributes: true });
    const folder = await navigator.storage.getDirectory();
    const handle = await folder.getFileHandle("film.jpg", { create: true });
    await document.querySelector("#from").files[0].stream().pipeTo(await handle.createWritable());
    const file = await handle.getFile();
    const item = { kind: "file", getAsFile: () => file, webkitGetAsEntry: () => null, getAsFileSystemHandle: async () => handle };
    const event = new DragEvent("drop", { bubbles: true, cancelable: true });
    Object.defineProperty(event, "dataTransfer", { value: { items: [item], types: ["Files"], files: [file] } });
    document.body.dispatchEvent(event);
  });
  await reloaded;
  const row = page.locator('.upload[data-state="interrupted"]');
  await row.getByRole("button", { name: "Resume" }).click();
  await stored(page, 1);
  await tiles(page, 1);
}

/** Pauses, resumes and cancels an upload, as soon as each is possible. The buttons are pressed from within the page,
 *  because pressing them from here takes longer than an upload. */
export async function pausing({ given, open }) {
  const page = await open();
  await page.getByText("No images yet").waitFor();
  const seen = page.evaluate(async () => {
    const until = (found) =>
      new Promise((resolve) => {
        const look = () => found() && (observer.disconnect(), resolve());
        const observer = new MutationObserver(look);
        observer.observe(document.body, { subtree: true, childList: true, attributes: true });
        look();
      });
    const sent = () => document.querySelector(".upload progress")?.value ?? 0;
    const state = (wanted) => until(() => document.querySelector(`.upload[data-state="${wanted}"]`));
    const press = (name) => [...document.querySelectorAll(".upload button")].find((one) => one.ariaLabel === name).click();
    await until(() => sent() >= 100);
    press("Pause");
    await state("paused");
    const paused = sent();
    press("Resume");
    await state("sending");
    await until(() => sent() > paused);
    press("Cancel");
    await state("cancelled");
    return paused;
  });
  await upload(page, [given.file]);
  const paused = await seen;
  if (paused < 100 || paused > 900) throw new Error(`it was paused at ${paused} of 1000`);
}

/** Uploads files that are no images: they are refused, with a sentence. */
export async function refused({ given, open }) {
  const page = await open();
  await upload(page, given.files);
  await page.locator('.upload[data-state="refused"]').waitFor();
  await shot(page, given, "refused");
  return await page.locator('.upload[data-state="refused"] .state').innerText();
}

/** Uploads in one window what another window then shows. Returns the milliseconds between the two. */
export async function two({ given, context, open }) {
  const [one, other] = [await open(), await open()];
  await other.getByText("No images yet").waitFor();
  await one.locator('.live[data-state="live"]').waitFor();
  await other.locator('.live[data-state="live"]').waitFor();
  const seen = other.locator(".grid li").first().waitFor().then(() => Date.now());
  const finished = one.waitForResponse((response) => response.url().endsWith("/UploadImage")).then(() => Date.now());
  await upload(one, given.files);
  const [there, done] = [await seen, await finished];
  // The window that listens for both is closed, and the other takes over.
  await one.close();
  const third = await open();
  await upload(third, given.more);
  await tiles(other, given.files.length + given.more.length);
  void context;
  return there - done;
}

/** Loses the connection: images that are stored meanwhile appear afterwards. */
export async function reconnect({ open, ask }) {
  const page = await open();
  await page.locator('.live[data-state="live"]').waitFor();
  await ask("kill");
  await page.locator('.live[data-state="offline"]').waitFor();
  await ask("start and store");
  await tiles(page, 1);
  await page.locator('.live[data-state="live"]').waitFor();
  await ask("store");
  await tiles(page, 2);
  await ask("delete all");
  await page.getByText("No images yet").waitFor();
}

/** Uses the keyboard alone: opens an image, goes through its details and back, opens the panel, undoes a deletion. */
export async function keyboard({ given, open }) {
  const page = await open();
  await tiles(page, given.count);
  const focused = async () => await page.evaluate(() => document.activeElement?.closest("li")?.dataset.id ?? document.activeElement?.textContent);
  const press = async (...keys) => {
    for (const key of keys) await page.keyboard.press(key);
  };
  await press("Tab");
  expect(await focused(), "Skip to the images");
  await press("Enter");
  expect(await focused(), given.ids[0]);
  await press("ArrowRight", "ArrowRight");
  expect(await focused(), given.ids[2]);
  await press("Home", "ArrowRight", "Enter");
  await page.locator("dialog.details[open]").waitFor();
  await page.getByText(given.ids[1]).first().waitFor();
  await press("ArrowRight");
  await page.getByText(given.ids[2]).first().waitFor();
  await press("+", "+", "0", "ArrowLeft", "Escape");
  await page.locator("dialog.details").waitFor({ state: "hidden" });
  expect(await focused(), given.ids[1]);
  await press("Enter");
  await page.locator("dialog.details[open]").waitFor();
  await press("Delete");
  await tiles(page, given.count - 1);
  await page.getByRole("button", { name: "Undo" }).focus();
  await press("Enter");
  await tiles(page, given.count);
  await page.getByRole("button", { name: "Try the service" }).focus();
  await press("Enter");
  await page.locator("dialog.try[open]").waitFor();
  await page.getByLabel("Name", { exact: true }).focus();
  await press("Enter");
  await page.locator('[data-try="answer"][data-code="OK"]').waitFor();
  await press("Escape");
  await page.locator("dialog.try").waitFor({ state: "hidden" });
}

/** Looks at the details of one image: facts, zoom, downloads, programs. Returns the texts of the programs. */
export async function details({ given, context, open }) {
  const page = await open(`#/image/${given.id}`);
  const dialog = page.locator("dialog.details[open]");
  await dialog.waitFor();
  await dialog.getByText(given.sha256).waitFor();
  await dialog.getByText(given.dimensions).first().waitFor();
  if (given.thumbnails) await page.locator(".frame.shown").waitFor();
  await shot(page, given, "details");
  const width = async () => (await page.locator(".frame").boundingBox()).width;
  const before = await width();
  await page.getByRole("button", { name: "Zoom in" }).click();
  if (!((await width()) > before * 1.2)) throw new Error("It is not larger.");
  await page.getByRole("button", { name: "Fit to window" }).click();
  await pinch(await context.newCDPSession(page), await page.locator(".stage").boundingBox());
  if (!((await width()) > before * 2)) throw new Error("Two fingers do not make it larger.");
  await page.getByRole("button", { name: "Fit to window" }).click();
  const downloading = page.waitForEvent("download");
  await dialog.getByRole("link", { name: "Original" }).click();
  const download = await downloading;
  await download.saveAs(given.save);
  const programs = {};
  for (const tab of await page.locator("[data-program]").all()) {
    await tab.click();
    programs[await tab.innerText()] = await page.locator(".programs code").innerText();
  }
  await dialog.getByRole("button", { name: "Close" }).click();
  await dialog.waitFor({ state: "hidden" });
  return programs;
}

/** Deletes an image: it is hidden at once, and deleted if the page is left before the time for undo is over. */
export async function deletion({ given, open, ask }) {
  const page = await open(`#/image/${given.id}`);
  await page.locator("dialog.details[open]").getByRole("button", { name: "Delete" }).click();
  await page.getByText("Image deleted").waitFor();
  await tiles(page, given.count - 1);
  await ask("still there");
  await page.goto("about:blank");
  await ask("gone");
}

/** Makes the tutorial's calls over gRPC-Web, with replies and errors, and looks at the server's state. */
export async function trying({ given, open }) {
  const page = await open("#/try");
  const panel = page.locator("dialog.try[open]");
  await panel.waitFor();
  await panel.locator('[data-health="SERVING"]').waitFor();
  await panel.getByText(new RegExp(`^${given.version.replaceAll(".", "\\.")}( · |$)`)).waitFor();
  const calls = [];
  page.on("request", (request) => calls.push([new URL(request.url()).pathname, request.headers()["content-type"]]));
  const send = async (code) => {
    await panel.getByRole("button", { name: given.send }).click();
    const answer = panel.locator(`[data-try="answer"][data-code="${code}"]`);
    await answer.waitFor();
    return await answer.innerText();
  };
  const wire = async () => await panel.locator('[data-try="wire"]').innerText();
  const answers = [await send("OK")];
  const wires = [await wire()];
  await panel.getByRole("button", { name: "Connect" }).click();
  answers.push(await send("OK"));
  wires.push(await wire());
  await panel.getByRole("button", { name: "gRPC-Web" }).click();
  await panel.getByRole("button", { name: "ProcessImage" }).click();
  await panel.locator('input[name="image"]').setInputFiles(given.file);
  answers.push(await send("OK"));
  await shot(page, given, "try");
  await panel.locator('input[name="image"]').setInputFiles(given.bad);
  answers.push(await send("NOT_AN_IMAGE"));
  wires.push(await wire());
  await panel.locator('[data-status="images"]', { hasText: "1" }).waitFor();
  const state = await panel.locator(".server").innerText();
  return { answers, wires, state, calls: calls.filter(([path]) => path.startsWith("/user.")) };
}

/** Checks all states of the page with axe. Returns serious and critical findings. */
export async function accessible({ given, open }) {
  const page = await open();
  await tiles(page, given.count);
  const found = [];
  const look = async (where) => found.push(...(await barriers(page, given, where)));
  await upload(page, [given.bad]);
  await page.locator('.upload[data-state="refused"]').waitFor();
  await look("gallery");
  await shot(page, given, "error");
  const wide = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
  if (wide) found.push("the page is wider than the window");
  await page.locator(".tile").first().click();
  await page.locator("dialog.details[open]").waitFor();
  if (given.thumbnails) await page.locator(".frame.shown").waitFor();
  await look("details");
  await shot(page, given, "details");
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: given.tryIt }).click();
  await page.locator("dialog.try[open] [data-health]").waitFor();
  await look("try");
  await shot(page, given, "try");
  return found;
}

/** Scrolls through a hundred thousand images to the end and back. Returns the largest number of elements in the
 *  document, and the bytes of memory at the end. */
export async function many({ given, context, open }) {
  const page = await open();
  await page.locator(".tile.shown").first().waitFor();
  let most = 0;
  for (let last = 0; last < given.count; ) {
    const seen = await page.evaluate(async () => {
      scrollTo(0, document.documentElement.scrollHeight);
      await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
      const places = [...document.querySelectorAll(".grid li")].map((tile) => Number(tile.getAttribute("aria-posinset")));
      return { tiles: places.length, last: Math.max(0, ...places) };
    });
    most = Math.max(most, seen.tiles);
    last = seen.last;
  }
  const end = await page.evaluate(() => document.documentElement.scrollHeight - 40 * innerHeight);
  const far = await frame(page, end);
  const near = await frame(page, 0);
  // The middle was dropped from memory and is loaded again, and so is the beginning.
  await page.evaluate(() => scrollTo(0, document.documentElement.scrollHeight / 2));
  await page.waitForFunction((middle) => {
    const places = [...document.querySelectorAll(".grid li")].map((tile) => Number(tile.getAttribute("aria-posinset")));
    return places.length > 20 && Math.min(...places) < middle && Math.max(...places) > middle - 100;
  }, given.count / 2 + 100);
  await page.locator(".tile.shown").first().waitFor();
  await page.evaluate(() => scrollTo(0, 0));
  await page.locator(`.grid li[data-id="${given.newest}"]`).waitFor();
  const devtools = await context.newCDPSession(page);
  await devtools.send("HeapProfiler.collectGarbage");
  const { usedSize } = await devtools.send("Runtime.getHeapUsage");
  return { most, bytes: usedSize, near, far };
}

/** Scrolls by half a window thirty times. Returns the median time of a frame, in milliseconds. */
async function frame(page, from) {
  await page.evaluate((top) => scrollTo(0, top), from);
  await page.locator(".tile.shown").first().waitFor();
  return await page.evaluate(async () => {
    const times = [];
    for (let step = 0; step < 30; step++) {
      const begin = performance.now();
      scrollBy(0, innerHeight / 2);
      await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
      times.push((performance.now() - begin) / 2);
    }
    return times.sort((a, b) => a - b)[15];
  });
}

/** Moves two fingers in the middle of a box apart, to three times their distance. */
async function pinch(devtools, { x, y, width, height }) {
  await devtools.send("Emulation.setTouchEmulationEnabled", { enabled: true, maxTouchPoints: 2 });
  const points = (distance) => [-1, 1].map((side, id) => ({ id, x: x + width / 2 + side * distance, y: y + height / 2 }));
  await devtools.send("Input.dispatchTouchEvent", { type: "touchStart", touchPoints: points(40) });
  for (let distance = 50; distance <= 120; distance += 10) {
    await devtools.send("Input.dispatchTouchEvent", { type: "touchMove", touchPoints: points(distance) });
  }
  await devtools.send("Input.dispatchTouchEvent", { type: "touchEnd", touchPoints: [] });
  await devtools.send("Emulation.setTouchEmulationEnabled", { enabled: false });
}

/** Waits until an upload has committed this part of its bytes. */
async function progress(page, part) {
  await page.waitForFunction((wanted) => (document.querySelector(".upload progress")?.value ?? 0) >= 1000 * wanted, part);
}

/** Loads the page. Returns the milliseconds until anything, the first image, and all thumbnails in sight were shown. */
export async function paint({ context, open }) {
  await context.addInitScript(() => {
    window.times = {};
    const look = () => {
      const tiles = document.querySelectorAll(".grid .tile");
      if (tiles.length > 0) window.times["first image"] ??= performance.now();
      const seen = [...tiles].filter((tile) => tile.getBoundingClientRect().top < innerHeight);
      if (seen.some((tile) => tile.matches(".shown"))) window.times["first thumbnail"] ??= performance.now();
      if (seen.length > 0 && seen.every((tile) => tile.matches(".shown"))) window.times["all thumbnails"] ??= performance.now();
    };
    new MutationObserver(look).observe(document, { subtree: true, childList: true, attributes: true, attributeFilter: ["class"] });
  });
  const page = await open();
  await page.waitForFunction(() => window.times["all thumbnails"]);
  return await page.evaluate(() => ({
    "first contentful paint": performance.getEntriesByName("first-contentful-paint")[0].startTime,
    ...window.times,
  }));
}
