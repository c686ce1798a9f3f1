// Steps that several scenarios share.
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

export function expect(found, wanted) {
  if (found !== wanted) throw new Error(`${JSON.stringify(found)} instead of ${JSON.stringify(wanted)}`);
}
