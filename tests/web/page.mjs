// Plays scenarios in Chromium. Requests and results are lines of JSON.
//
// A request is {"scenario": "name", "url": "…", …}. If the scenario needs the test to do something, it prints
// {"ask": …} and waits for a line. At the end it prints {"failed": "why"}, or {"done": {"result", "said", "foreign"}}
// with the messages of the console and the requests that went to another origin.
import { createServer } from "node:http";
import { createInterface } from "node:readline";

import * as access from "./access.mjs";
import { launch } from "./chromium.mjs";
import * as course from "./course.mjs";
import * as general from "./scenarios.mjs";
import * as showing from "./showing.mjs";
import * as uploading from "./uploading.mjs";

const scenarios = { ...access, ...course, ...general, ...showing, ...uploading };

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const next = async () => {
  const { value, done } = await lines.next();
  return done ? undefined : JSON.parse(value);
};
const tell = (message) => console.log(JSON.stringify(message));

const { executable } = await next();
const browser = await launch(executable);
/** Scenarios that measure, or change the whole context: for these a new one is made, in which nothing is cached. */
const FRESH = new Set(["many", "paint"]);
/** The empty page between two scenarios. It is of the same site as all servers of the tests, so that Chromium keeps the
 *  process of the tab: a new process costs a second of CPU, twice as much as the rest of most scenarios. It comes from
 *  a server, which has its icon too: what the browser does not find, it tells the console of the next scenario. */
const between = createServer((request, response) => {
  const page = request.url === "/";
  response.writeHead(200, { "content-type": page ? "text/html" : "image/gif" });
  response.end(page ? "<!DOCTYPE html><title>Empty</title>" : Buffer.from("R0lGODlhAQABAAAAACwAAAAAAQABAAACAkQBADs=", "base64"));
});
await new Promise((resolve) => between.listen(0, "127.0.0.1", resolve));
const EMPTY = `http://127.0.0.1:${between.address().port}/`;

/** The tabs that are kept, each in a context of its own, by what the context was made of. */
const kept = new Map();

async function made({ locale = "en-US", dark = false, phone = false }, keep) {
  const options = {
    locale,
    colorScheme: dark ? "dark" : "light",
    viewport: phone ? { width: 390, height: 844 } : { width: 1280, height: 800 },
    hasTouch: phone,
    reducedMotion: "reduce",
    acceptDownloads: true,
  };
  const key = JSON.stringify(options);
  if (keep && kept.has(key)) return kept.get(key);
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const tab = { key, context, page, viewport: options.viewport, devtools: await context.newCDPSession(page) };
  if (keep) {
    await emptied(tab, []);
    kept.set(key, tab);
  }
  return tab;
}

/** Makes the tab as a new one: with an empty page that has no history, and nothing kept of these origins. */
async function emptied({ context, page, viewport, devtools }, origins) {
  for (const other of context.pages()) if (other !== page) await other.close();
  for (const event of ["dialog", "request", "worker"]) page.removeAllListeners(event);
  context.removeAllListeners("request");
  if (origins.some((origin) => page.url().startsWith(`${origin}/`))) await page.evaluate(() => sessionStorage.clear());
  await page.setViewportSize(viewport);
  await page.goto(EMPTY);
  for (const origin of origins) await devtools.send("Storage.clearDataForOrigin", { origin, storageTypes: "all" });
  await devtools.send("Network.clearBrowserCache");
  await devtools.send("Page.resetNavigationHistory");
  await context.clearCookies();
  await context.clearPermissions();
}

for (let given = await next(); given; given = await next()) {
  const keep = !FRESH.has(given.scenario);
  const tab = await made(given, keep);
  const { context } = tab;
  context.setDefaultTimeout(given.timeout ?? 60_000);
  const said = [];
  const foreign = [];
  const heard = {
    console: (message) => said.push(`${message.type()}: ${message.text()}`),
    weberror: (error) => said.push(`error: ${error.error()}`),
    request: (request) => {
      const url = request.url();
      if (!url.startsWith(`${given.url}/`) && !url.startsWith("data:")) foreign.push(url);
    },
  };
  for (const [event, hear] of Object.entries(heard)) context.on(event, hear);
  const ask = async (what) => {
    tell({ ask: what });
    return await next();
  };
  let opened = 0;
  const open = async (hash = "") => {
    const page = opened++ ? await context.newPage() : tab.page;
    await page.goto(`${given.url}/${hash}`);
    return page;
  };
  let ended = false;
  try {
    const result = (await scenarios[given.scenario]({ given, context, open, ask })) ?? null;
    tell({ done: { result, said, foreign } });
    ended = true;
  } catch (error) {
    const seen = await tab.page.locator("body").innerText().catch(() => "");
    tell({ failed: `${error.stack}\nThe console: ${said.join("\n")}\nThe page:\n${seen}` });
  }
  for (const [event, hear] of Object.entries(heard)) context.off(event, hear);
  const again = keep && ended && !tab.page.isClosed() && (await emptied(tab, [given.url]).then(() => true, () => false));
  if (!again) {
    kept.delete(tab.key);
    await context.close();
  }
}
await browser.close();
between.close();
between.closeAllConnections();
