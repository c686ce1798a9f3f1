// The steps that scenarios have in common.
import { join } from "node:path";

/** Chooses files as with the file dialog. */
export async function upload(page, files) {
  await page.locator("#files").setInputFiles(files);
}

/** Waits until so many uploads are stored. */
export async function stored(page, count) {
  await page.locator('.upload[data-state="ready"]').nth(count - 1).waitFor();
}

/** Waits until the gallery has exactly so many images. */
export async function tiles(page, count) {
  await page.waitForFunction((wanted) => document.querySelectorAll(".grid li").length === wanted, count);
}

/** A screenshot for a person to look at, of the state of that name. */
export async function shot(page, { shots, shot: prefix = "" }, name) {
  if (prefix) await page.screenshot({ path: join(shots, `${prefix}-${name}.png`) });
}

export function expect(found, wanted) {
  if (found !== wanted) throw new Error(`${JSON.stringify(found)} instead of ${JSON.stringify(wanted)}`);
}
