// Plays scenarios in Chromium. Requests and results are lines of JSON.
//
// A request is {"scenario": "name", "url": "…", …}. If the scenario needs the test to do something, it prints
// {"ask": …} and waits for a line. At the end it prints {"failed": "why"}, or {"done": {"result", "said", "foreign"}}
// with the messages of the console and the requests that went to another origin.
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

import * as access from "./access.mjs";
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
const args = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"];
args.push("--disable-component-update", "--disable-sync", "--disable-dev-shm-usage");
const browser = await chromium.launch({ executablePath: executable, args });
for (let given = await next(); given; given = await next()) {
  const context = await browser.newContext({
    locale: given.locale ?? "en-US",
    colorScheme: given.dark ? "dark" : "light",
    viewport: given.phone ? { width: 390, height: 844 } : { width: 1280, height: 800 },
    hasTouch: given.phone ?? false,
    reducedMotion: "reduce",
    acceptDownloads: true,
  });
  context.setDefaultTimeout(given.timeout ?? 60_000);
  const said = [];
  const foreign = [];
  context.on("console", (message) => said.push(`${message.type()}: ${message.text()}`));
  context.on("weberror", (error) => said.push(`error: ${error.error()}`));
  context.on("request", (request) => {
    const url = request.url();
    if (!url.startsWith(`${given.url}/`) && !url.startsWith("data:")) foreign.push(url);
  });
  const ask = async (what) => {
    tell({ ask: what });
    return await next();
  };
  const open = async (hash = "") => {
    const page = await context.newPage();
    await page.goto(`${given.url}/${hash}`);
    return page;
  };
  try {
    const result = (await scenarios[given.scenario]({ given, context, open, ask })) ?? null;
    tell({ done: { result, said, foreign } });
  } catch (error) {
    const [page] = context.pages();
    const seen = await page?.locator("body").innerText().catch(() => "");
    tell({ failed: `${error.stack}\nThe console: ${said.join("\n")}\nThe page:\n${seen}` });
  } finally {
    await context.close();
  }
}
await browser.close();
