// Steps that several scenarios share.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

/** Chooses files, as in the file dialog. */
export async function upload(page, files) {
  await page.locator("#files").setInputFiles(files);
}

/** Waits until this many uploads are stored. */
export async function stored(page, count) {
  await page.locator('.upload[data-state="ready"]').nth(count - 1).waitFor();
}

/** Waits until the gallery has exactly this many images. */
export async function tiles(page, count) {
  await page.waitForFunction((wanted) => document.querySelectorAll(".grid li").length === wanted, count);
}

/** Takes a screenshot of a state of the page, under that name, for a person to look at. */
export async function shot(page, { shots, shot: prefix = "" }, name) {
  if (prefix) await page.screenshot({ path: join(shots, `${prefix}-${name}.png`) });
}

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const OF_COLOURS = { type: "rule", values: ["color-contrast", "link-in-text-block"] };

/** What axe finds that is serious or critical, as lines that begin with `where`. In the dark, only colours are looked at:
 *  all else is the same as by day. */
export async function barriers(page, { dark }, where) {
  if (!(await page.evaluate(() => "axe" in globalThis))) await page.evaluate(axe);
  const options = { resultTypes: ["violations"], ...(dark && { runOnly: OF_COLOURS }) };
  const { violations } = await page.evaluate(async (given) => await globalThis.axe.run(document, given), options);
  return violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, nodes }) => `${where}: ${id}: ${nodes.map(({ html }) => html).join(" ")}`);
}

export function expect(found, wanted) {
  if (found !== wanted) throw new Error(`${JSON.stringify(found)} instead of ${JSON.stringify(wanted)}`);
}
