// What a learner does with the pages of the course.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** Goes from the gallery to the course and through all lessons by "next", copies the first program, searches for `word` and follows what is
 *  found. Returns the titles, what was copied, where the search led, and what axe says of the pages. */
export async function course({ given, context, open }) {
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  const page = await open();
  await page.locator(`.bar a[href="/learn/${given.language}"]`).click();
  await page.waitForURL(`**/learn/${given.language}`);
  const found = [];
  const look = async () => {
    await page.evaluate(axe);
    const { violations } = await page.evaluate(async () => await window.axe.run(document, { resultTypes: ["violations"] }));
    found.push(...violations.map(({ id, nodes }) => `${page.url()}: ${id}: ${nodes.map(({ html }) => html).join(" ")}`));
  };
  const fits = async () => {
    if (await page.evaluate(() => document.documentElement.scrollWidth > innerWidth)) found.push(`${page.url()} is too wide`);
  };
  await look();
  await fits();
  await page.locator(".contents a").first().click();
  await page.locator(".code button").first().click();
  await page.getByText(given.copied).waitFor();
  const copied = await page.evaluate(async () => await navigator.clipboard.readText());
  const titles = [];
  for (;;) {
    titles.push(await page.locator("h1").innerText());
    await page.locator("details").first().locator("summary").click();
    await fits();
    const next = page.locator(".nav a", { hasText: "→" });
    if ((await next.count()) === 0) break;
    await Promise.all([page.waitForNavigation(), next.click()]);
  }
  await look(); // all lessons have the same parts, so one of them is enough
  await page.goto(new URL("/learn", page.url()).href);
  await look(); // both languages on one page
  await fits();
  await page.goBack();
  await page.goto(page.url()); // without what the search remembers
  const box = page.locator("input[type=search]");
  const hits = page.locator("#found");
  const index = /\/learn\/search[^/]*\.json$/;
  await page.route(index, (route) => route.fulfill({ body: "half of i" }), { times: 1 });
  const failed = page.waitForResponse(index);
  await box.fill("a");
  await (await failed).finished();
  await page.evaluate(() => new Promise((resolve) => setTimeout(resolve)));
  let asked;
  const pending = new Promise((resolve) => (asked = resolve));
  await page.route(index, asked, { times: 1 });
  await box.fill("zebra");
  const held = await pending;
  await box.press("Escape");
  const answered = page.waitForResponse(index);
  const text = `${"x".repeat(60)}zebra ${"y".repeat(200)}`;
  await held.fulfill({ json: [{ url: "/learn", title: "T", lesson: "T", text }] });
  await (await answered).finished();
  await page.evaluate(() => new Promise((resolve) => setTimeout(resolve)));
  const after = await hits.innerText();
  await box.fill("t zebra");
  const excerpt = await page.locator("#found a span").innerText();
  await page.goto(page.url());
  await page.locator("input[type=search]").fill(given.word);
  await page.locator("#found a").first().click();
  await page.waitForURL("**/learn/**#*");
  const led = await page.locator(":target").innerText();
  return { titles, copied, led, found, after, excerpt };
}
