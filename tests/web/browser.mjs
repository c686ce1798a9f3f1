// Reads lines of JSON from standard input: first where Chromium is, then runs. For each run, it opens a page in a window
// of its own that sends the calls, and prints one line of JSON: the replies of each client, the text of the page, and the
// messages of the console. A run without calls waits until the page shows something. What is `typed` into the console runs
// then, until it logs something.
import { createInterface } from "node:readline/promises";

import { launch } from "./chromium.mjs";

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const { executable } = JSON.parse((await lines.next()).value);
const browser = await launch(executable);
try {
  for await (const line of lines) {
    const { url, base, calls, headers, typed } = JSON.parse(line);
    const context = await browser.newContext();
    const page = await context.newPage();
    const said = [];
    page.on("console", (message) => said.push(`${message.type()}: ${message.text()}`));
    page.on("pageerror", (error) => said.push(`error: ${error}`));
    await page.goto(url);
    const answers = calls && (await page.evaluate((given) => window.run(...given), [base, calls, headers]));
    if (!calls) await page.waitForFunction(() => document.body.textContent.trim());
    if (typed) {
      const logged = page.waitForEvent("console", (message) => message.type() === "log");
      await page.evaluate(`(() => {${typed}})()`);
      await logged;
    }
    const shown = (await page.textContent("body")).trim();
    await context.close();
    console.log(JSON.stringify({ answers, shown, said }));
  }
} finally {
  await browser.close();
}
