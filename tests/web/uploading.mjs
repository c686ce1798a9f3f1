// Scenarios of uploads. Each takes { given, context, open, ask }: see page.mjs.
import { expect, shot, stored, tiles, upload } from "./steps.mjs";

/** Uploads many files. Returns how many workers the page made, and what the page's own thread has sent. */
export async function workers({ given, open }) {
  const page = await open();
  await page.getByText("No images yet").waitFor();
  let made = 0;
  page.on("worker", () => (made += 1));
  await upload(page, given.files);
  await page.getByText("All uploads are done").waitFor();
  await tiles(page, given.files.length);
  const sent = await page.evaluate(() => performance.getEntriesByType("resource").map(({ name }) => new URL(name).pathname));
  return { made, sent };
}

/** Uploads what is refused and what is stored. Returns the sentences at the end of each. */
export async function endings({ given, open }) {
  const page = await open();
  const summary = page.locator(".tray h2");
  const said = [];
  const ended = async (count) => {
    await page.waitForFunction(
      (wanted) => document.querySelectorAll('.upload:is([data-state="ready"], [data-state="refused"])').length === wanted,
      count,
    );
    // The list is drawn again a little later than an upload ends.
    await page.waitForFunction(() => !/\d (upload|envío)/.test(document.querySelector(".tray h2").textContent));
    said.push(await summary.innerText());
  };
  await upload(page, given.bad);
  await ended(given.bad.length);
  const why = await page.locator('.upload[data-state="refused"] .state').allInnerTexts();
  await upload(page, given.good);
  await ended(given.bad.length + given.good.length);
  await shot(page, given, "endings");
  await page.getByRole("button", { name: given.words.all }).waitFor();
  await page.getByRole("button", { name: given.words.clear }).click();
  await page.locator(".tray").waitFor({ state: "hidden" });
  await upload(page, given.more);
  await ended(given.more.length);
  return { said, why };
}

/** The list of uploads in windows of several widths: it covers no image. It is folded and unfolded. */
export async function tray({ given, open, ask }) {
  const page = await open();
  await tiles(page, given.count);
  await page.evaluate(() => scrollTo(0, 0));
  await ask("kill");
  await upload(page, given.files);
  await page.locator('.upload[data-state="unreachable"]').first().waitFor();
  await page.getByRole("heading", { name: `${given.files.length} uploads in progress` }).waitFor();
  const wrong = [];
  const look = async (where) => {
    await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
    const covered = await page.evaluate(() => {
      const a = document.querySelector(".tray").getBoundingClientRect();
      return [...document.querySelectorAll(".tile")].filter((tile) => {
        const b = tile.getBoundingClientRect();
        return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
      }).length;
    });
    if (covered) wrong.push(`${where}: ${covered} tiles covered`);
    if (await page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth)) wrong.push(`${where}: too wide`);
    await shot(page, given, `tray-${where}`);
  };
  const fold = page.getByRole("button", { name: "Show each upload" });
  for (const width of given.widths) {
    await page.setViewportSize({ width, height: 800 });
    await look(`${width}`);
    await fold.click();
    expect(await page.locator(".tray .rows").isVisible(), false);
    await look(`${width} folded`);
    await fold.click();
  }
  const total = await page.locator(".tray .total").innerText();
  // The page asks before it is left, since uploads are under way; and the user stays.
  const asked = page.waitForEvent("dialog");
  const left = page.close({ runBeforeUnload: true });
  const dialog = await asked;
  const kind = dialog.type();
  await dialog.dismiss();
  await left;
  await page.getByRole("button", { name: "Cancel all" }).click();
  await page.getByRole("heading", { name: `${given.files.length} cancelled` }).waitFor();
  await ask("start");
  await page.getByRole("button", { name: "Try all again" }).click();
  await stored(page, given.files.length);
  await page.getByText("All uploads are done").waitFor();
  return { wrong, total, kind };
}

/** Loads the page when it remembers uploads that lay idle for as long as given, in hours. Returns those that it lists. */
export async function remembered({ given, open }) {
  const page = await open();
  await page.getByText("No images yet").waitFor();
  await page.evaluate(async (hours) => {
    const asked = indexedDB.open("conexiones", 1);
    asked.onupgradeneeded = () => asked.result.createObjectStore("uploads", { keyPath: "requestId" }); // before the page
    await new Promise((resolve) => (asked.onsuccess = resolve));
    const change = asked.result.transaction("uploads", "readwrite");
    for (const [name, { begun, touched }] of Object.entries(hours)) {
      const ago = (time) => Date.now() - time * 3_600_000;
      const known = { requestId: name, name, size: 100, modified: 0, committed: 50 };
      change.objectStore("uploads").put({ ...known, begun: ago(begun), touched: ago(touched) });
    }
    await new Promise((resolve) => (change.oncomplete = resolve));
    asked.result.close();
  }, given.hours);
  await page.reload();
  await page.locator(".upload").nth(given.count - 1).waitFor();
  return await page.locator(".upload .name").allInnerTexts();
}

/** Gives the page many files at once, and waits until all are stored. */
export async function burst({ given, open }) {
  const page = await open();
  await upload(page, given.files);
  await page.getByText("All uploads are done").waitFor();
}
