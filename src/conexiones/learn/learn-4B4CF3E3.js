// @ts-check
// What the course's pages do beyond text: a button that copies each code block, and the search. Without this script all
// of the text is there; the search is hidden.

const { search = "", copy = "", copied = "", none = "" } = document.body.dataset;
const RESULTS = 12;

for (const block of document.querySelectorAll("pre")) {
  const frame = document.createElement("div");
  frame.className = "code";
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = copy;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(block.textContent ?? "");
    button.textContent = copied;
    setTimeout(() => (button.textContent = copy), 2000);
  });
  block.replaceWith(frame);
  frame.append(block);
  // What has no language is what a program prints. Only pages from a secure origin, which localhost is, may use the clipboard.
  if (navigator.clipboard && block.querySelector("code[class]")) frame.append(button);
}

/** @typedef {{ url: string, title: string, lesson: string, text: string }} Entry */

/** @type {Promise<Entry[]> | undefined} */
let entries;
const box = document.querySelector("search");
const input = box?.querySelector("input");
const found = document.querySelector("#found");

/** Lower case without accents, so that "llamada" and "Llamáda" are found alike. @param {string} text */
const folded = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();

/** What there is to search. What could not be fetched is fetched again by the next search. */
function searched() {
  entries ??= fetch(search)
    .then(async (response) => {
      if (!response.ok) throw new Error(`${response.status} for ${search}`);
      return /** @type {Entry[]} */ (await response.json());
    })
    .catch((error) => {
      entries = undefined;
      throw error;
    });
  return entries;
}

/** The text around the first place of any of the words, else its beginning. @param {string} text @param {string[]} words */
function excerpt(text, words) {
  const all = folded(text);
  const places = words.map((word) => all.indexOf(word)).filter((place) => place >= 0);
  const at = places.length > 0 ? Math.min(...places) : 0;
  const space = text.slice(0, at).indexOf(" ", at - 40);
  const from = at <= 40 ? 0 : space < 0 ? at : space;
  return text.slice(from, at + 100).trim();
}

async function show() {
  if (!input || !found) return;
  const asked = input.value;
  const words = folded(asked).split(/\s+/).filter(Boolean);
  /** @type {Entry[]} */
  let all = [];
  let failed = false;
  try {
    if (words.length > 0) all = await searched();
  } catch {
    failed = true;
  }
  if (input.value !== asked) return; // something else is asked for by now, or nothing
  const has = (/** @type {string} */ text) => words.every((word) => folded(text).includes(word));
  const titled = all.filter(({ title }) => has(title));
  const rest = all.filter((entry) => !titled.includes(entry) && has(`${entry.title} ${entry.text}`));
  const hits = [...titled, ...rest].slice(0, RESULTS).map((entry) => {
    const link = document.createElement("a");
    link.href = entry.url;
    const head = document.createElement("strong");
    head.textContent = entry.title === entry.lesson ? entry.title : `${entry.lesson} · ${entry.title}`;
    const line = document.createElement("span");
    line.textContent = excerpt(entry.text, words);
    link.append(head, line);
    return link;
  });
  found.replaceChildren(...(hits.length === 0 && words.length > 0 && !failed ? [none] : hits));
}

if (box && input) {
  box.hidden = false;
  input.addEventListener("input", () => void show());
  input.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    input.value = "";
    void show();
  });
}
