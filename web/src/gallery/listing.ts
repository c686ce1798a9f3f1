// The list of all images, newest first, of which only parts are in memory.
//
// It is kept in sections, one for each page of ListImages. A section that is far away forgets its images and
// keeps the token that brings them back, where it begins and ends, and how many there are. What is new goes into the
// first section; when that grows large, the list begins anew.
import type { Image } from "#gen/conexiones/v1/images_pb";

const FIRST_PAGE = 120; // small, for it is waited for
const PAGE = 500;
const MOST_LOADED = 12; // sections
const MOST_IN_FIRST = 1_000;

interface Section {
  /** Of the page; empty for the first. */
  token: string;
  images: Image[] | undefined;
  count: number;
  /** The oldest id: what is older belongs to sections below. Empty in the last section, which has all the rest. */
  last: string;
  used: number;
}

export interface Page {
  images: Image[];
  nextPageToken: string;
}

export type Fetch = (pageToken: string, pageSize: number) => Promise<Page>;

export class Listing {
  #sections: Section[] = [];
  /** Of the page that is not there yet; undefined after the last, and empty before the first. */
  #next: string | undefined = "";
  #loading = new Map<string, Promise<void>>();
  #generation = 0;
  #clock = 0;
  /** What is not shown: it waits for the end of its undo. */
  readonly #hidden = new Map<string, Image>();
  readonly #fetch: Fetch;
  readonly #changed: () => void;

  constructor(fetch: Fetch, changed: () => void) {
    this.#fetch = fetch;
    this.#changed = changed;
  }

  /** Images that are known of. */
  get count(): number {
    return this.#sections.reduce((sum, { count }) => sum + count, 0);
  }

  /** Whether there is more behind those. */
  get more(): boolean {
    return this.#next !== undefined;
  }

  /** Begins anew with the first page. What was there stays until the answer is. */
  async reset(): Promise<void> {
    const generation = ++this.#generation;
    this.#loading.clear();
    const page = await this.#fetch("", FIRST_PAGE);
    if (generation !== this.#generation) return;
    this.#sections = [];
    this.#next = "";
    this.#append(page, "");
    this.#changed();
  }

  /** Loads the next page. Rejects if that failed. */
  async extend(): Promise<void> {
    const token = this.#next;
    if (token === undefined) return;
    await this.#once(`next ${token}`, async (current) => {
      const page = await this.#fetch(token, PAGE);
      if (current() && this.#next === token) this.#append(page, token);
    });
  }

  /** The images of an interval of indexes; undefined for those that are being loaded. */
  slice(from: number, to: number): (Image | undefined)[] {
    const found: (Image | undefined)[] = [];
    let start = 0;
    for (const section of this.#sections) {
      const end = start + section.count;
      if (end > from && start < to) {
        section.used = ++this.#clock;
        if (!section.images) void this.#reload(section);
        for (let i = Math.max(from, start); i < Math.min(to, end); i++) found.push(section.images?.[i - start]);
      }
      start = end;
      if (start >= to) break;
    }
    this.#forget();
    return found;
  }

  /** The index of a loaded image, or -1. */
  indexOf(id: string): number {
    let start = 0;
    for (const { images, count } of this.#sections) {
      const at = images?.findIndex((image) => image.id === id) ?? -1;
      if (at >= 0) return start + at;
      start += count;
    }
    return -1;
  }

  /** A stored image, new or with something new about it. */
  put(image: Image): void {
    if (this.#hidden.has(image.id)) {
      this.#hidden.set(image.id, image);
      return;
    }
    const section = this.#sections.find(({ last }) => last <= image.id);
    // Of what is not loaded, it comes when that is; what lies behind the end comes with its page.
    if (!section?.images) return;
    const at = section.images.findIndex(({ id }) => id <= image.id);
    const known = at >= 0 && section.images[at]?.id === image.id;
    section.images.splice(at < 0 ? section.images.length : at, known ? 1 : 0, image);
    section.count = section.images.length;
    if (section === this.#sections[0] && section.count > MOST_IN_FIRST) void this.reset().catch(() => undefined);
    this.#changed();
  }

  remove(id: string): Image | undefined {
    this.#hidden.delete(id);
    const section = this.#sections.find(({ last }) => last <= id);
    const at = section?.images?.findIndex((image) => image.id === id) ?? -1;
    if (!section?.images || at < 0) return undefined;
    const [image] = section.images.splice(at, 1);
    section.count = section.images.length;
    this.#changed();
    return image;
  }

  /** Takes an image out of sight until it is shown again or removed. */
  hide(id: string): void {
    const image = this.remove(id);
    if (image) this.#hidden.set(id, image);
  }

  unhide(id: string): void {
    const image = this.#hidden.get(id);
    this.#hidden.delete(id);
    if (image) this.put(image);
  }

  #append(page: Page, token: string): void {
    const images = page.images.filter(({ id }) => !this.#hidden.has(id));
    const last = page.nextPageToken ? (page.images.at(-1)?.id ?? "") : "";
    this.#sections.push({ token, images, count: images.length, last, used: ++this.#clock });
    this.#next = page.nextPageToken || undefined;
  }

  async #reload(section: Section): Promise<void> {
    try {
      await this.#once(`again ${section.token}`, async (current) => {
        const above = this.#sections[this.#sections.indexOf(section) - 1]?.last;
        const images: Image[] = [];
        // What was put into it since may make it longer than a page.
        for (let token: string | undefined = section.token; token !== undefined; ) {
          const page: Page = await this.#fetch(token, PAGE);
          if (!current()) return;
          images.push(...page.images);
          const end = images.at(-1)?.id ?? "";
          token = page.nextPageToken && end > section.last ? page.nextPageToken : undefined;
        }
        const within = ({ id }: Image) => id >= section.last && (above === undefined || id < above) && !this.#hidden.has(id);
        section.images = images.filter(within);
        section.count = section.images.length;
        section.used = ++this.#clock;
      });
    } catch {
      // It is asked for again when it is looked at again.
    }
  }

  async #once(name: string, work: (current: () => boolean) => Promise<void>): Promise<void> {
    const generation = this.#generation;
    const under = this.#loading.get(name);
    if (under) return await under;
    const promise = work(() => generation === this.#generation).finally(() => {
      if (this.#loading.get(name) === promise) this.#loading.delete(name);
    });
    this.#loading.set(name, promise);
    await promise;
    this.#changed();
  }

  #forget(): void {
    const loaded = this.#sections.filter(({ images }) => images);
    if (loaded.length <= MOST_LOADED) return;
    // The first one takes what is new, so it stays.
    const old = loaded.slice(1).sort((a, b) => a.used - b.used);
    for (const section of old.slice(0, loaded.length - MOST_LOADED)) section.images = undefined;
  }
}
