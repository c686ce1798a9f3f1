// The page: creates its parts and connects them.
import "./page.css";

import { Deletion } from "./deletion";
import { Details } from "./details";
import { button, h, icon, say } from "./dom";
import { Grid } from "./gallery/grid";
import { Listing } from "./gallery/listing";
import { Watch } from "./gallery/watch";
import type { State } from "./gallery/watch";
import { language, t } from "./i18n";
import { delayAfter, images, pause, problem, status } from "./rpc";
import { element as toasts, toast } from "./toast";
import { Try } from "./try";
import { Queue } from "./uploads/queue";
import { chosen, MAX_FILES, transferred } from "./uploads/sources";
import type { Source } from "./uploads/sources";
import { Tray } from "./uploads/tray";

document.documentElement.lang = language;
document.title = t("title");

// The gallery

const count = h("span", { class: "count", "aria-live": "polite" });
const live = h("span", { class: "live", "data-state": "connecting", role: "status" });
const fresh = h("button", { type: "button", class: "fresh", hidden: true, onclick: () => scrollTo({ top: 0, behavior: "smooth" }) });
const empty = h(
  "div",
  { class: "empty", hidden: true },
  icon("image"),
  h("p", { class: "large" }, t("empty")),
  h("p", null, t("emptyHint")),
);
const failed = h("div", { class: "empty", role: "alert", hidden: true }, h("p", { class: "large" }, t("listFailed")), h("p", { class: "why" }));
let total = 0;
let listed = false;

const listing = new Listing(async (pageToken, pageSize) => await images.listImages({ pageToken, pageSize }), changed);
const grid = new Grid(listing, () => void extend());
const deletion = new Deletion(listing);

function changed(): void {
  grid.render();
  empty.hidden = !listed || listing.count > 0 || listing.more;
  const shown = Math.max(total, listing.count);
  say(count, listed ? t("images", { n: listing.more ? shown : listing.count }) : "");
  if (details.image) around(details.image.id);
}

let extending = false;
async function extend(): Promise<void> {
  if (extending) return;
  extending = true;
  try {
    for (let attempts = 0; ; attempts++) {
      try {
        return await listing.extend();
      } catch {
        await pause(delayAfter(attempts), new AbortController().signal);
      }
    }
  } finally {
    extending = false;
  }
}

/** Lists the images from the beginning, and retries until that succeeds. */
async function list(): Promise<void> {
  for (let attempts = 0; ; attempts++) {
    try {
      await listing.reset();
      listed = true;
      failed.hidden = true;
      changed();
      return;
    } catch (error) {
      failed.hidden = listed;
      say(failed.querySelector(".why") as Element, problem(error).message);
      await pause(delayAfter(attempts), new AbortController().signal);
    }
  }
}

async function recount(): Promise<void> {
  try {
    total = Number((await status.getStatus({})).imageCount);
    changed();
  } catch {
    // Only the count is missing then. If the server is unreachable, the list shows it.
  }
}

// While the user has scrolled down, new images are held back, so that nothing moves.
let held = 0;
/** Whether more images were stored than were kept, so that the list has to be loaded again. */
let stale = false;
const waiting: Parameters<Listing["put"]>[0][] = [];
/** How many of the images held back are kept. */
const MAX_WAITING = 500;

function scrolledDown(): boolean {
  return scrollY > 200;
}

function release(): void {
  if (scrolledDown() || held === 0) return;
  held = 0;
  fresh.hidden = true;
  if (stale) void list();
  else for (const image of waiting) listing.put(image);
  waiting.length = 0;
  stale = false;
}
addEventListener("scroll", release, { passive: true });

const watch = new Watch({
  event({ event }) {
    switch (event.case) {
      case "stored":
        total += 1;
        if (!scrolledDown() && !held) return listing.put(event.value);
        held += 1;
        if (waiting.length < MAX_WAITING) waiting.push(event.value);
        else stale = true;
        fresh.hidden = false;
        say(fresh, t("fresh", { n: held }));
        return;
      case "described": {
        const at = waiting.findIndex(({ id }) => id === event.value.id);
        if (at >= 0) waiting[at] = event.value;
        else listing.put(event.value);
        if (details.image?.id === event.value.id) show(event.value);
        return;
      }
      case "deletedId": {
        const id = event.value;
        total = Math.max(0, total - 1);
        const at = waiting.findIndex((image) => image.id === id);
        if (at >= 0) waiting.splice(at, 1);
        listing.remove(id);
        if (details.image?.id === id) details.missing();
        changed();
        return;
      }
    }
  },
  state(state: State) {
    live.dataset["state"] = state;
    say(live, t(state));
  },
  resync() {
    if (listed) void list();
    void recount();
  },
});
say(live, t("connecting"));

// One image, and the panel

const details = new Details({
  close: () => leave(),
  step(by) {
    const at = details.image ? listing.indexOf(details.image.id) : -1;
    const [image] = at >= 0 && at + by >= 0 ? listing.slice(at + by, at + by + 1) : [];
    if (!image) return;
    history.replaceState(null, "", `#/image/${image.id}`);
    show(image);
  },
  remove(image) {
    leave();
    deletion.begin(image.id);
  },
});
const tryIt = new Try(() => leave());

function show(image: Parameters<Details["show"]>[0]): void {
  const at = listing.indexOf(image.id);
  details.show(image, { previous: at > 0, next: at >= 0 && (at + 1 < listing.count || listing.more) });
}

function around(id: string): void {
  const at = listing.indexOf(id);
  const [image] = at >= 0 ? listing.slice(at, at + 1) : [];
  if (image) show(image);
}

function leave(): void {
  const from = details.image ? listing.indexOf(details.image.id) : -1;
  history.replaceState(null, "", location.pathname);
  void route();
  if (from >= 0) grid.focus(from);
}

async function route(): Promise<void> {
  const [, kind, id] = location.hash.split("/");
  if (kind !== "image" && details.element.open) details.close();
  if (kind !== "try" && tryIt.element.open) tryIt.close();
  if (kind === "try") tryIt.open();
  if (kind !== "image" || !id) return;
  const at = listing.indexOf(id);
  const [known] = at >= 0 ? listing.slice(at, at + 1) : [];
  if (known) return show(known);
  try {
    const { image } = await images.getImage({ id });
    if (image && location.hash === `#/image/${id}`) show(image);
  } catch {
    if (location.hash === `#/image/${id}`) details.missing();
  }
}
addEventListener("hashchange", () => void route());

// Uploads

const queue = new Queue(() => tray.render());
const tray = new Tray(queue);

async function add(sources: AsyncIterable<Source> | Iterable<Source>): Promise<void> {
  const { taken, tooMany } = await queue.add(sources);
  if (tooMany) toast(t("tooMany", { n: MAX_FILES }));
  if (taken === 0) toast(t("nothing"));
}

const files = h("input", { type: "file", multiple: true, class: "offscreen", id: "files", tabindex: "-1", "aria-label": t("add") });
const folder = h("input", { type: "file", webkitdirectory: true, class: "offscreen", id: "folder", tabindex: "-1", "aria-label": t("addFolder") });
for (const input of [files, folder]) input.addEventListener("change", () => void add(chosen(input)));

const curtain = h("div", { class: "curtain", "aria-hidden": "true" }, h("p", null, icon("up"), t("drop")));
let depth = 0;
const carriesFiles = (event: DragEvent) => event.dataTransfer?.types.includes("Files") ?? false;
const drape = (by: number) => {
  depth = Math.max(0, by === 0 ? 0 : depth + by);
  curtain.classList.toggle("down", depth > 0);
};
addEventListener("dragenter", (event) => carriesFiles(event) && drape(1));
addEventListener("dragleave", (event) => carriesFiles(event) && drape(-1));
addEventListener("dragover", (event) => carriesFiles(event) && event.preventDefault());
addEventListener("drop", (event) => {
  drape(0);
  if (!carriesFiles(event) || !event.dataTransfer || details.element.open || tryIt.element.open) return;
  event.preventDefault();
  void add(transferred(event.dataTransfer));
});
addEventListener("paste", (event) => {
  if (!event.clipboardData?.types.includes("Files")) return;
  event.preventDefault();
  void add(transferred(event.clipboardData));
});

// The page as a whole

document.body.append(
  h("a", { class: "skip", href: "#gallery", onclick: (event) => (event.preventDefault(), grid.focus(0)) }, t("skip")),
  h(
    "header",
    { class: "bar" },
    h("h1", null, t("title")),
    count,
    live,
    h("span", { class: "space" }),
    button("try", t("tryIt"), () => (location.hash = "#/try"), { shown: true, kind: "quiet" }),
    button("image", t("addFolder"), () => folder.click(), { shown: true, kind: "quiet" }),
    button("add", t("add"), () => files.click(), { shown: true, kind: "primary" }),
    files,
    folder,
  ),
  h("main", { id: "gallery" }, grid.element, empty, failed),
  fresh,
  tray.element,
  toasts,
  curtain,
  details.element,
  tryIt.element,
);

void watch.run();
void list().then(() => route());
void recount();
void queue.recall();
