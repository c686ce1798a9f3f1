// Reads runs as JSON from standard input. For each, it opens a page in Chromium that sends the calls, and prints one line
// of JSON: the replies of each client, the text of the page, and the messages of the console. A run without calls waits
// until the page shows something.
import { text } from "node:stream/consumers";
import { chromium } from "playwright-core";

const { executable, runs } = JSON.parse(await text(process.stdin));
const browser = await chromium.launch({
  executablePath: executable,
  args: [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
  ],
});
try {
  for (const { url, base, calls, headers } of runs) {
    const page = await browser.newPage();
    const said = [];
    page.on("console", (message) => said.push(`${message.type()}: ${message.text()}`));
    page.on("pageerror", (error) => said.push(`error: ${error}`));
    await page.goto(url);
    const answers = calls && (await page.evaluate((given) => window.run(...given), [base, calls, headers]));
    if (!calls) await page.waitForFunction(() => document.body.textContent.trim());
    const shown = (await page.textContent("body")).trim();
    await page.close();
    console.log(JSON.stringify({ answers, shown, said }));
  }
} finally {
  await browser.close();
}
