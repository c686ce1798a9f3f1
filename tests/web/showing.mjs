// Scenarios of what the page shows: the gallery, one image, the way between them. Each takes { given, context, open,
// ask }: see page.mjs.
import { expect, shot, tiles } from "./steps.mjs";

/** The server goes away while thumbnails and an image are to be shown, and comes back. */
export async function away({ given, open, ask }) {
  const page = await open();
  await page.locator(".tile.shown").first().waitFor();
  const before = await page.locator(".tile.shown").count();
  await ask("kill");
  await page.locator('.live[data-state="offline"]').waitFor();
  await page.evaluate(() => scrollTo(0, document.documentElement.scrollHeight));
  await page.locator(".tile.away").first().waitFor();
  expect(await page.locator(".tile.failed").count(), 0);
  await page.locator(".tile.away").first().click();
  await page.locator(".details .note", { hasText: "The server does not answer; trying again" }).waitFor();
  await shot(page, given, "away");
  await ask("start");
  await page.locator(".frame.shown").waitFor();
  expect(await page.locator(".details .note").innerText(), "");
  await page.keyboard.press("Escape");
  await page.waitForFunction(() => [...document.querySelectorAll(".tile")].every((tile) => tile.matches(".shown:not(.away)")));
  return before;
}

/** Opens the address of an image while the server is away: it is shown when the server is back. */
export async function address({ given, open, ask }) {
  const page = await open();
  await tiles(page, given.count);
  await ask("kill");
  await page.evaluate((id) => (location.hash = `#/image/${id}`), given.unknown);
  await page.locator(".details .note", { hasText: "The server does not answer" }).waitFor();
  await ask("start");
  await page.getByText("This image does not exist any more.").waitFor();
}

/** Looks at an image of which the server can make no picture. Returns what its tile and its view say. */
export async function unseen({ given, open }) {
  const page = await open();
  const tile = page.locator(".tile.failed");
  await tile.waitFor();
  await shot(page, given, "unseen");
  const said = [await tile.locator(".fallback").innerText(), await tile.getAttribute("aria-label")];
  await tile.click();
  const note = page.locator(".details[open] .note");
  await note.waitFor();
  expect(await page.locator(".details .renditions").count(), 0);
  return [...said, await note.innerText()];
}

/** Makes the window as wide as each of these, with the server there and away, and looks whether anything in the bar lies
 *  outside or over another. */
export async function bar({ given, open, ask }) {
  const page = await open();
  await tiles(page, given.count);
  await page.locator('.live[data-state="live"]').waitFor();
  const wrong = await bars(page, given, "live");
  await ask("kill");
  await page.locator('.live[data-state="offline"]').waitFor();
  return [...wrong, ...(await bars(page, given, "offline"))];
}

async function bars(page, given, state) {
  const wrong = [];
  for (const width of given.widths) {
    await page.setViewportSize({ width, height: 700 });
    const found = await page.evaluate(() => {
      const { clientWidth, scrollWidth } = document.documentElement;
      const boxes = [...document.querySelectorAll(".bar > *:not(.space, .offscreen)")]
        .map((one) => ({ what: one.className || one.tagName, box: one.getBoundingClientRect() }))
        .filter(({ box }) => box.width > 0);
      const meet = (a, b) => a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1;
      const over = boxes.filter(({ box }, i) => boxes.slice(i + 1).some((other) => meet(box, other.box)));
      const outside = boxes.filter(({ box }) => box.left < 0 || box.right > clientWidth);
      return [
        ...over.map(({ what }) => `${what} over another`),
        ...outside.map(({ what }) => `${what} outside`),
        ...(scrollWidth > clientWidth ? ["the page is too wide"] : []),
      ];
    });
    wrong.push(...found.map((text) => `${state}, ${width}: ${text}`));
    await shot(page, given, `bar-${state}-${width}`);
  }
  return wrong;
}

/** Presses End in a gallery of which only a part is loaded, and Home. The page is as long as all images from the start. */
export async function end({ given, open }) {
  const page = await open();
  await page.locator(".tile.shown").first().waitFor();
  const height = async () => await page.evaluate(() => document.documentElement.scrollHeight);
  const [before, loaded] = [await height(), await page.evaluate(() => document.title)];
  await page.locator(".tile").first().focus();
  await page.keyboard.press("End");
  const focused = (index) =>
    page.waitForFunction((wanted) => document.activeElement?.closest("li")?.getAttribute("aria-posinset") === wanted, String(index));
  await focused(given.count);
  const after = await height();
  await page.keyboard.press("ArrowLeft");
  await focused(given.count - 1);
  await page.keyboard.press("Home");
  await focused(1);
  return { before, after, title: loaded };
}

/** Goes to an image and back, by Escape and by the browser's own Back and Forward. */
export async function back({ given, context }) {
  const page = await context.newPage();
  await page.goto("about:blank");
  await page.goto(given.url);
  await tiles(page, given.count);
  const opened = page.locator("dialog.details[open]");
  await page.locator(".tile").first().click();
  await opened.waitFor();
  await page.goBack();
  await opened.waitFor({ state: "hidden" });
  await page.goForward();
  await opened.waitFor();
  await page.keyboard.press("ArrowRight");
  await page.goBack();
  await opened.waitFor({ state: "hidden" });
  const focused = () => page.evaluate(() => document.activeElement?.closest("li")?.getAttribute("aria-posinset"));
  expect(await focused(), "2");
  await page.keyboard.press("Enter");
  await opened.waitFor();
  await page.keyboard.press("ArrowLeft");
  await page.keyboard.press("Escape");
  await opened.waitFor({ state: "hidden" });
  await page.waitForFunction(() => location.hash === "");
  expect(await focused(), "1");
  await page.getByRole("button", { name: "Try the service" }).click();
  await page.locator("dialog.try[open]").waitFor();
  await page.keyboard.press("Escape");
  await page.waitForFunction(() => location.hash === "");
  await page.goBack();
  expect(page.url(), "about:blank");
  // An address that was opened from elsewhere has no gallery behind it.
  await page.goto(`${given.url}/#/image/${given.id}`);
  await opened.waitFor();
  await page.keyboard.press("Escape");
  await page.waitForFunction(() => location.hash === "");
  await page.goBack();
  expect(page.url(), "about:blank");
}

/** Deletes an image in the gallery by the key, and undoes it. */
export async function deleting({ given, open }) {
  const page = await open();
  await tiles(page, given.ids.length);
  await page.locator(".tile").first().focus();
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("Delete");
  await tiles(page, given.ids.length - 1);
  const focused = async () => await page.evaluate(() => document.activeElement?.closest("li")?.dataset.id);
  expect(await focused(), given.ids[2]);
  await page.keyboard.press("Delete");
  await tiles(page, given.ids.length - 2);
  expect(await focused(), given.ids[0]);
  for (const left of [1, 0]) {
    await page.getByRole("button", { name: "Undo" }).first().click();
    await tiles(page, given.ids.length - left);
  }
}

/** Looks at images that are transparent, tiny, or both. Returns how they are drawn, and what the page says of them. */
export async function drawn({ given, open }) {
  const page = await open();
  await page.locator(".tile.shown").nth(given.count - 1).waitFor();
  await shot(page, given, "drawn");
  const found = {};
  for (const [name, id] of Object.entries(given.ids)) {
    const tile = await page.locator(`li[data-id="${id}"] .tile`).evaluate((one) => {
      const picture = one.querySelector("img");
      const style = getComputedStyle(picture);
      const canvas = one.querySelector("canvas");
      return {
        behind: getComputedStyle(one).backgroundImage.split("(")[0],
        placeholder: canvas ? getComputedStyle(canvas).visibility : "none",
        rendering: style.imageRendering,
        // How many pixels of the page there are for one of the picture.
        scale: parseFloat(style.width) / picture.naturalWidth,
      };
    });
    await page.locator(`li[data-id="${id}"] .tile`).click();
    await page.locator(".details[open] .frame.shown").waitFor();
    const view = await page.locator(".frame").evaluate((one) => ({
      behind: getComputedStyle(one).backgroundImage.split("(")[0],
      rendering: getComputedStyle(one.querySelector("img")).imageRendering,
      scale: one.querySelector("img").clientWidth / one.querySelector("img").naturalWidth,
    }));
    await shot(page, given, `drawn-${name}`);
    if (given.taken[name]) await page.locator(".facts .captured").waitFor();
    found[name] = { tile, view, facts: await page.locator(".details .facts").innerText() };
    await page.keyboard.press("Escape");
    await page.locator(".details").waitFor({ state: "hidden" });
  }
  return found;
}

/** Uploads files with names, and finds, shows and downloads them by these. */
export async function names({ given, open }) {
  const page = await open();
  await page.locator("#files").setInputFiles(given.files);
  await tiles(page, given.files.length);
  await page.getByRole("searchbox", { name: "Search by name" }).fill(given.part);
  await tiles(page, 1);
  await page.getByText("1 image found").waitFor();
  await shot(page, given, "found");
  await page.getByRole("searchbox").fill("nothing of this name");
  await page.getByText("No image has a name with").waitFor();
  await page.getByRole("searchbox").press("Escape");
  await tiles(page, given.files.length);
  await page.getByRole("link", { name: given.name }).click();
  await page.getByRole("heading", { name: given.name, exact: true }).waitFor();
  await shot(page, given, "named");
  const saved = [];
  for (const link of ["Original", "Rendition"]) {
    const downloading = page.waitForEvent("download");
    await page.locator(".details").getByRole("link", { name: link }).click();
    saved.push((await downloading).suggestedFilename());
  }
  return saved;
}

/** Drops files, and then what is no file, while an image is shown: it stays, and the files are uploaded. */
export async function dropped({ given, context, open }) {
  const page = await open(`#/image/${given.id}`);
  await page.locator("dialog.details[open] .frame.shown").waitFor();
  const devtools = await context.newCDPSession(page);
  const drop = async (data) => {
    for (const type of ["dragEnter", "dragOver", "drop"]) {
      await devtools.send("Input.dispatchDragEvent", { type, x: 300, y: 300, data: { dragOperationsMask: 1, ...data } });
    }
  };
  await drop({ items: [], files: given.files });
  await page.getByText("1 file is being uploaded.").waitFor();
  await page.waitForFunction(() => document.querySelector('.upload[data-state="ready"]'));
  await drop({ items: [{ mimeType: "text/uri-list", data: "http://127.0.0.1:9/" }, { mimeType: "text/plain", data: "http://127.0.0.1:9/" }], files: [] });
  expect(new URL(page.url()).hash, `#/image/${given.id}`);
  expect(await page.locator("dialog.details[open]").count(), 1);
  await page.keyboard.press("Escape");
  await tiles(page, given.count);
}
