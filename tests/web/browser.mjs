// Opens the page in Chromium once for each run that stands as JSON on standard input, has it send the calls,
// and prints one line of JSON for each: the answers of each client, and what the browser's console said.
import { text } from "node:stream/consumers";
import { chromium } from "playwright-core";

const { executable, page: url, runs } = JSON.parse(await text(process.stdin));
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
  for (const { base, calls } of runs) {
    const page = await browser.newPage();
    const said = [];
    page.on("console", (message) => said.push(`${message.type()}: ${message.text()}`));
    page.on("pageerror", (error) => said.push(`error: ${error}`));
    await page.goto(url);
    const answers = await page.evaluate((given) => window.run(...given), [base, calls]);
    await page.close();
    console.log(JSON.stringify({ answers, said }));
  }
} finally {
  await browser.close();
}
