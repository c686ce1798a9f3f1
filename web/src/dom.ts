// Functions that create and change elements.

export type Child = Node | string | number | null | undefined | false;

type Listeners = { [K in keyof HTMLElementEventMap as `on${K}`]?: (event: HTMLElementEventMap[K]) => void };
type Attributes = Record<string, string | number | boolean | undefined | null>;

/**
 * Creates an element. Names that begin with `on` are listeners, all others attributes: true sets an empty attribute;
 * false, null and undefined set none.
 */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  given: Listeners | Attributes | null = null,
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(given ?? {})) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value as EventListener);
    else set(element, name, value as Attributes[string]);
  }
  append(element, ...children);
  return element;
}

export function set(element: Element, name: string, value: Attributes[string]): void {
  if (value === undefined || value === null || value === false) element.removeAttribute(name);
  else element.setAttribute(name, value === true ? "" : String(value));
}

export function append(parent: Element, ...children: Child[]): void {
  for (const child of children) {
    if (child !== null && child !== undefined && child !== false) parent.append(child instanceof Node ? child : String(child));
  }
}

/** Sets the text only if it changes, so that a screen reader says nothing twice. */
export function say(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

const SVG = "http://www.w3.org/2000/svg";
const PATHS = {
  add: "M12 5v14M5 12h14",
  close: "M6 6l12 12M18 6L6 18",
  pause: "M9 6v12M15 6v12",
  play: "M8 5.5v13l10-6.5z",
  download: "M12 4v11m0 0l-4.5-4.5M12 15l4.5-4.5M5 19.5h14",
  delete: "M5 7h14M10 7V5h4v2M7 7l.8 12.5h8.4L17 7",
  copy: "M9 9h10v10H9zM5 15V5h10",
  left: "M14.5 5.5L8 12l6.5 6.5",
  right: "M9.5 5.5L16 12l-6.5 6.5",
  in: "M12 5v14M5 12h14",
  out: "M5 12h14",
  up: "M12 19V5m0 0l-6 6m6-6l6 6",
  done: "M5 12.5l4.5 4.5L19 7.5",
  problem: "M12 6.5v7M12 17v.5",
  folder: "M3.5 6.5h6l2 2.5h9v10h-17z",
  image: "M4 5h16v14H4zM4 16l5-5 4 4 2.5-2.5L20 17M15.5 9h.01",
  try: "M5 6l6 6-6 6M13 18h6",
  again: "M19 12a7 7 0 1 1-2.2-5.1L19 9M19 4.5V9h-4.5",
  fold: "M6 15l6-6 6 6",
  key: "M8 8a4 4 0 1 0 0 8a4 4 0 0 0 0-8M12 12h9v4M17 12v3",
  person: "M12 4a4 4 0 1 0 0 8a4 4 0 0 0 0-8M4.5 20c1-4 4-5.5 7.5-5.5s6.5 1.5 7.5 5.5",
  link: "M9.5 14.5l5-5M11 7l2-2a4.2 4.2 0 0 1 6 6l-2 2M13 17l-2 2a4.2 4.2 0 0 1-6-6l2-2",
  leave: "M10 5H5v14h5M15 8l4 4-4 4M19 12H9",
  learn: "M12 7C10 5.5 7 5 4 5v12c3 0 6 .5 8 2c2-1.5 5-2 8-2V5c-3 0-6 .5-8 2v12",
  search: "M11 5a6 6 0 1 0 0 12a6 6 0 0 0 0-12M15.5 15.5L20 20",
} as const;

export type IconName = keyof typeof PATHS;

export function icon(name: IconName): SVGSVGElement {
  const svg = document.createElementNS(SVG, "svg");
  for (const [key, value] of Object.entries({ viewBox: "0 0 24 24", class: "icon", "aria-hidden": "true" })) {
    svg.setAttribute(key, value);
  }
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}

/** A button with an icon. `label` is its accessible name, and is visible if `shown`. */
export function button(
  name: IconName,
  label: string,
  act: (event: MouseEvent) => void,
  { shown = false, kind = "" }: { shown?: boolean; kind?: string } = {},
): HTMLButtonElement {
  const given = { type: "button", class: `button ${shown ? "" : "round"} ${kind}`.trim(), onclick: act };
  const found = h("button", given, icon(name), shown && h("span", null, label));
  if (!shown) found.setAttribute("aria-label", label);
  found.title = label; // in narrow windows, also of buttons of which then only the icon is seen
  return found;
}
