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

/** The text around the first of the words. @param {string} text @param {string} word */
function excerpt(text, word) {
  const at = Math.max(folded(text).indexOf(word), 0);
  const from = at > 40 ? text.indexOf(" ", at - 40) : 0;
  return text.slice(Math.min(from, at), at + 100).trim();
}

async function show() {
  if (!input || !found) return;
  const words = folded(input.value).split(/\s+/).filter(Boolean);
  entries ??= fetch(search).then(async (response) => /** @type {Entry[]} */ (await response.json()));
  const all = words.length === 0 ? [] : await entries;
  const has = (/** @type {string} */ text) => words.every((word) => folded(text).includes(word));
  const titled = all.filter(({ title }) => has(title));
  const rest = all.filter((entry) => !titled.includes(entry) && has(`${entry.title} ${entry.text}`));
  const hits = [...titled, ...rest].slice(0, RESULTS).map((entry) => {
    const link = document.createElement("a");
    link.href = entry.url;
    const head = document.createElement("strong");
    head.textContent = entry.title === entry.lesson ? entry.title : `${entry.lesson} · ${entry.title}`;
    const line = document.createElement("span");
    line.textContent = excerpt(entry.text, words[0] ?? "");
    link.append(head, line);
    return link;
  });
  found.replaceChildren(...(hits.length === 0 && words.length > 0 ? [none] : hits));
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
