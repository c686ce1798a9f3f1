// The page: creates its parts and connects them.
import "./styles/base.css";
import "./styles/gallery.css";
import "./styles/uploads.css";
import "./styles/panels.css";
import "./styles/narrow.css";

import type { Event } from "#gen/conexiones/v1/images_pb";

import { Access, tokenInAddress } from "./access/access";
import { Account } from "./access/account";
import { Ask } from "./access/ask";
import { Notice } from "./access/notice";
import { delayAfter, needsSignIn, pause, problem } from "./calls";
import { Deletion } from "./deletion";
import { Details } from "./details";
import { button, h, icon, say, set } from "./dom";
import { takeDrops } from "./dropping";
import { Grid } from "./gallery/grid";
import { Listing } from "./gallery/listing";
import { Search } from "./gallery/search";
import { Watch } from "./gallery/watch";
import type { State } from "./gallery/watch";
import { t } from "./i18n";
import { language } from "./language";
import { Navigation } from "./navigation";
import { serverIsBack } from "./picture";
import { images, status } from "./rpc";
import { element as toasts, toast } from "./toast";
import { followActions } from "./traces";
import { Try } from "./try";
import { Queue, UNDER_WAY } from "./uploads/queue";
import { chosen, MAX_FILES } from "./uploads/sources";
import type { Source } from "./uploads/sources";
import { Tray } from "./uploads/tray";

document.documentElement.lang = language;
followActions();

// Who the page is to the server

const brought = tokenInAddress();
const access = new Access({
  changed() {
    // The style hides what the scopes do not allow. When a session has ended, all stays as it was behind the dialog.
    if (access.message || shownTo === undefined) document.body.dataset["scopes"] = access.scopes.join(" ");
    account.draw();
    notice.draw(access);
    if (access.subject) ask.close();
    if (!access.message) return;
    if (missed || (shownTo !== undefined && shownTo !== who())) again();
    shownTo = who();
    if (!recalled && access.may("write")) {
      recalled = true;
      void queue.recall();
    }
  },
  ask: (ended) => ask.show({ needed: access.scopes.length === 0, ended }),
});
const ask = new Ask((token) => access.signIn(token));
const account = new Account(access, () => ask.show({ needed: false, ended: false }));
const notice = new Notice();
/** For whom the gallery was listed; undefined before the server has said it. */
let shownTo: string | undefined;
/** Whether the images could not be listed because nobody was signed in. */
let missed = false;
let recalled = false;
const who = () => `${access.subject} ${access.scopes.join(" ")}`;
addEventListener("hashchange", () => void signInWith(tokenInAddress()));

/** Signs in with a token that a link has brought. If the server refuses it, whoever was signed in still is. */
async function signInWith(token: string): Promise<void> {
  const why = token && (await access.signIn(token));
  if (!why) return;
  await access.check();
  ask.refuse(why);
}

/** Shows what there is for whoever has signed in. */
function again(): void {
  missed = false;
  serverIsBack();
  void list().then(() => route());
  void recount();
}

// The gallery

const count = h("span", { class: "count", "aria-live": "polite", "data-needs": "read" });
const live = h("span", { class: "live", "data-state": "connecting", role: "status", "data-needs": "read" });
const fresh = h("button", { type: "button", class: "fresh", hidden: true, onclick: () => scrollTo({ top: 0, behavior: "smooth" }) });
const empty = h(
  "div",
  { class: "empty", hidden: true },
  icon("image"),
  h("p", { class: "large" }, t("empty")),
  h("p", { "data-needs": "write" }, t("emptyHint")),
);
const none = h("p", { class: "empty", hidden: true });
const failed = h("div", { class: "empty", role: "alert", hidden: true }, h("p", { class: "large" }, t("listFailed")), h("p", { class: "why" }));
let total = 0;
let listed = false;

const search = new Search(() => void list());
const listing = new Listing(async (pageToken, pageSize) => await images.listImages({ pageToken, pageSize, name: search.text }), changed);
const deletion = new Deletion(listing);
const grid = new Grid(listing, (towards) => void extend(towards), (id) => access.may("delete") && deletion.begin(id));

function changed(): void {
  const { text } = search;
  listing.total = text ? 0 : total;
  grid.render();
  const nothing = listed && listing.count === 0 && !listing.more;
  empty.hidden = !nothing || text !== "";
  none.hidden = !nothing || text === "";
  say(none, t("nothingFound", { name: text }));
  const found = text ? t(listing.more ? "foundMore" : "found", { n: listing.count }) : t("images", { n: listing.length });
  say(count, listed ? found : "");
  entitle();
  if (details.image) around(details.image.id);
}

/** The title counts uploads under way, or else new images that are not shown yet, or else all images. */
function entitle(): void {
  const underWay = queue.count(UNDER_WAY);
  const counts = underWay ? t("uploading", { n: underWay }) : held ? t("fresh", { n: held }) : listed ? t("images", { n: Math.max(total, listing.length) }) : "";
  const title = [counts, t("title")].filter(Boolean).join(" · ");
  if (document.title !== title) document.title = title;
}

let extending = false;
async function extend(towards: number): Promise<void> {
  if (extending) return;
  extending = true;
  try {
    for (let attempts = 0; ; attempts++) {
      try {
        return await listing.extend(towards);
      } catch (error) {
        const found = problem(error);
        if (needsSignIn(found)) return; // then the list is loaded again
        await pause(Math.max(found.retryAfter, delayAfter(attempts)), new AbortController().signal);
      }
    }
  } finally {
    extending = false;
  }
}

let lists = 0;
const superseded = (generation: number) => generation !== lists;

/** Lists the images from the beginning, and retries until that succeeds. */
async function list(): Promise<void> {
  const generation = ++lists;
  for (let attempts = 0; !superseded(generation); attempts++) {
    try {
      await listing.reset();
      listed = true;
      failed.hidden = true;
      changed();
      return;
    } catch (error) {
      const found = problem(error);
      if (superseded(generation)) return;
      if (needsSignIn(found)) {
        // What the server has said of the page last may be older than this answer.
        if (!access.may("read")) return (missed = true), undefined;
      } else {
        failed.hidden = listed;
        say(failed.querySelector(".why") as Element, found.message);
      }
      await pause(Math.max(found.retryAfter, delayAfter(attempts)), new AbortController().signal);
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
  else listing.together(() => waiting.forEach((image) => listing.put(image)));
  waiting.length = 0;
  stale = false;
  entitle();
}
addEventListener("scroll", release, { passive: true });

/** Takes one event over into the list, or keeps it for later. */
function take(event: Event["event"]): void {
  switch (event.case) {
    case "stored":
      total += 1;
      if (!search.matches(event.value)) return;
      if (!scrolledDown() && !held) return listing.put(event.value);
      held += 1;
      if (waiting.length < MAX_WAITING) waiting.push(event.value);
      else stale = true;
      fresh.hidden = false;
      return say(fresh, t("fresh", { n: held }));
    case "described": {
      const at = waiting.findIndex(({ id }) => id === event.value.id);
      if (at >= 0) waiting[at] = event.value;
      else if (search.matches(event.value)) listing.put(event.value);
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
    }
  }
}

/** Stored images that come at once from which on more may be expected. */
const MANY = 4;

const watch = new Watch({
  events(events) {
    if (events.filter((event) => event.case === "stored").length >= MANY) grid.hold();
    listing.together(() => events.forEach(take));
  },
  state(state: State) {
    live.dataset["state"] = state;
    say(live, t(state));
    if (state === "live") serverIsBack();
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
    navigation.replace(`#/image/${image.id}`);
    show(image);
  },
  remove(image) {
    if (!access.may("delete")) return;
    const at = listing.indexOf(image.id);
    leave();
    deletion.begin(image.id);
    if (at >= 0) grid.focus(at);
  },
}, access);
const tryIt = new Try(() => leave());
const navigation = new Navigation(() => void route());

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
  closeAll();
  navigation.leave();
}

/** Closes what is open above the gallery. The image that was shown last has the focus then. */
function closeAll(): void {
  const from = details.image ? listing.indexOf(details.image.id) : -1;
  if (details.element.open) details.close();
  if (tryIt.element.open) tryIt.close();
  if (from >= 0) grid.focus(from);
}

async function route(): Promise<void> {
  const { hash } = location;
  const [, kind, id] = hash.split("/");
  if (kind !== "image" && kind !== "try") closeAll();
  if (kind !== "image" && details.element.open) details.close();
  if (kind !== "try" && tryIt.element.open) tryIt.close();
  if (kind === "try") tryIt.open();
  if (kind !== "image" || !id || details.image?.id === id) return;
  const at = listing.indexOf(id);
  const [known] = at >= 0 ? listing.slice(at, at + 1) : [];
  if (known) return show(known);
  for (let attempts = 0; location.hash === hash; attempts++) {
    try {
      const { image } = await images.getImage({ id });
      if (image && location.hash === hash) show(image);
      return;
    } catch (error) {
      if (location.hash !== hash) return;
      if (needsSignIn(problem(error))) return; // then `again` comes here
      if (!problem(error).retryable) return details.missing();
      details.away();
      await pause(delayAfter(attempts), new AbortController().signal);
    }
  }
}

// Uploads

const queue = new Queue(() => access.subject, () => tray.render());
const tray = new Tray(queue, entitle);

async function add(sources: AsyncIterable<Source> | Iterable<Source>): Promise<void> {
  const { taken, tooMany } = await queue.add(sources);
  if (tooMany) toast(t("tooMany", { n: MAX_FILES }));
  if (taken === 0) toast(t("nothing"));
  // The open dialog hides the uploads.
  else if (document.querySelector("dialog[open]")) toast(t("adding", { n: taken }));
}

takeDrops((sources) => void add(sources), () => access.may("write"));
addEventListener("beforeunload", (event) => {
  if (queue.count(UNDER_WAY) > 0) event.preventDefault();
});

const files = h("input", { type: "file", multiple: true, class: "offscreen", id: "files", tabindex: "-1", "aria-label": t("add") });
const folder = h("input", { type: "file", webkitdirectory: true, class: "offscreen", id: "folder", tabindex: "-1", "aria-label": t("addFolder") });
for (const input of [files, folder]) input.addEventListener("change", () => void add(chosen(input)));

// The page as a whole

const adding = [
  button("folder", t("addFolder"), () => folder.click(), { shown: true, kind: "quiet" }),
  button("add", t("add"), () => files.click(), { shown: true, kind: "primary" }),
];
for (const one of adding) set(one, "data-needs", "write");
set(search.element, "data-needs", "read");
set(tray.element, "data-needs", "write");

const bar = h(
  "header",
  { class: "bar" },
  h("h1", null, t("title")),
  count,
  live,
  h("span", { class: "space" }),
  search.element,
  h("a", { class: "button quiet", href: `/learn/${language}`, title: t("learn") }, icon("learn"), h("span", null, t("learn"))),
  button("try", t("tryIt"), () => void navigation.open("#/try"), { shown: true, kind: "quiet" }),
  ...adding,
  account.button,
  files,
  folder,
);

const gallery = h("div", { "data-needs": "read" }, grid.element, empty, none, failed);
const below = h("div", { class: "below" }, tray.element, h("main", { id: "gallery" }, notice.element, fresh, gallery));

/** Tells the style how many pixels at the top of the window are covered, and where the uploads begin. */
function cover(): void {
  below.classList.toggle("beside", !tray.element.hidden && !tray.element.classList.contains("folded"));
  const height = bar.offsetHeight;
  const { clientWidth } = document.documentElement;
  // Beside the gallery the uploads cover nothing; above it they do.
  const above = tray.element.hidden || tray.element.offsetWidth < clientWidth * 0.6 ? 0 : tray.element.offsetHeight;
  measure("--bar", height);
  measure("--cover", height + above);
}

/** Sets a variable of the style. If it does not change, nothing is styled anew. */
function measure(name: string, pixels: number): void {
  const { style } = document.documentElement;
  if (style.getPropertyValue(name) !== `${pixels}px`) style.setProperty(name, `${pixels}px`);
}
const sizes = new ResizeObserver(cover);
for (const one of [bar, tray.element]) sizes.observe(one);

document.body.append(
  h("a", { class: "skip", href: "#gallery", onclick: (event) => (event.preventDefault(), grid.focus(0)) }, t("skip")),
  bar,
  below,
  toasts,
  details.element,
  tryIt.element,
  account.element,
  ask.element,
);

async function begin(): Promise<void> {
  await signInWith(brought);
  if (!access.known) void access.check();
  void watch.run();
  void list().then(() => route());
  void recount();
}
void begin();
