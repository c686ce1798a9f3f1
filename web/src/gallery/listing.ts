// The list of all images, newest first, of which only parts are in memory.
//
// The list consists of sections, one for each page of ListImages. A section that was not used for long drops its images.
// It keeps the page token with which they can be loaded again, its oldest id, and their number. New images go into the
// first section; when that has grown too large, the list is loaded again from the beginning.
import type { Image } from "#gen/conexiones/v1/images_pb";

/** Images of the first page. It is small, because the user waits for it. */
const FIRST_PAGE_IMAGES = 120;
/** Images of each further page. */
const PAGE_IMAGES = 500;
/** Images of each further page while the user waits for a much later one: as many as the server gives. */
const LARGE_PAGE_IMAGES = 1_000;
/** How many sections may keep their images. */
const MAX_LOADED_SECTIONS = 12;
/** How many images the first section may have before the list is loaded again. */
const MAX_FIRST_SECTION_IMAGES = 1_000;

interface Section {
  /** The token of its page; empty for the first page. */
  token: string;
  images: Image[] | undefined;
  count: number;
  /** The oldest id. Older images belong to later sections. Empty in the last section, which takes all the rest. */
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
  /** The token of the next page to load; empty before the first page, undefined after the last. */
  #next: string | undefined = "";
  #loading = new Map<string, Promise<void>>();
  #generation = 0;
  #clock = 0;
  /** Images that are not shown, because their deletion can still be undone. */
  readonly #hidden = new Map<string, Image>();
  #total = 0;
  readonly #fetch: Fetch;
  readonly #tell: () => void;
  #together = false;

  constructor(fetch: Fetch, changed: () => void) {
    this.#fetch = fetch;
    this.#tell = changed;
  }

  /** Makes many changes, which are told as one. */
  together(changes: () => void): void {
    this.#together = true;
    try {
      changes();
    } finally {
      this.#together = false;
    }
    this.#tell();
  }

  #changed(): void {
    if (!this.#together) this.#tell();
  }

  /** How many images there are in all, as far as is known. It may be a little wrong. */
  set total(total: number) {
    this.#total = total;
  }

  /** The number of images, loaded or not. Exact when there are no more to load. */
  get length(): number {
    return this.more ? Math.max(this.count, this.#total - this.#hidden.size) : this.count;
  }

  /** The number of images in all sections. */
  get count(): number {
    return this.#sections.reduce((sum, { count }) => sum + count, 0);
  }

  /** Whether there are more images past these. */
  get more(): boolean {
    return this.#next !== undefined;
  }

  /** Loads the list again from the first page. The present list stays until the page has come. */
  async reset(): Promise<void> {
    const generation = ++this.#generation;
    this.#loading.clear();
    const page = await this.#fetch("", FIRST_PAGE_IMAGES);
    if (generation !== this.#generation) return;
    this.#sections = [];
    this.#next = "";
    this.#append(page, "");
    this.#changed();
  }

  /** Loads the next page, on the way to the image of that index. Rejects if that fails. */
  async extend(towards = 0): Promise<void> {
    const token = this.#next;
    if (token === undefined) return;
    const size = towards > this.count + PAGE_IMAGES ? LARGE_PAGE_IMAGES : PAGE_IMAGES;
    await this.#once(`next ${token}`, async (current) => {
      const page = await this.#fetch(token, size);
      if (current() && this.#next === token) this.#append(page, token);
    });
  }

  /** The images in a range of indexes, with undefined for those that are being loaded. */
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

  /** Adds a new image, or replaces a known one by its new description. */
  put(image: Image): void {
    if (this.#hidden.has(image.id)) {
      this.#hidden.set(image.id, image);
      return;
    }
    const section = this.#sections.find(({ last }) => last <= image.id);
    // If its section is not loaded, or its page has not come yet, the image comes with them.
    if (!section?.images) return;
    const at = section.images.findIndex(({ id }) => id <= image.id);
    const known = at >= 0 && section.images[at]?.id === image.id;
    section.images.splice(at < 0 ? section.images.length : at, known ? 1 : 0, image);
    section.count = section.images.length;
    if (section === this.#sections[0] && section.count > MAX_FIRST_SECTION_IMAGES) void this.reset().catch(() => undefined);
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

  /** Hides an image until unhide() or remove() is called. */
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
    this.#forget();
  }

  async #reload(section: Section): Promise<void> {
    try {
      await this.#once(`again ${section.token}`, async (current) => {
        const above = this.#sections[this.#sections.indexOf(section) - 1]?.last;
        const images: Image[] = [];
        // Images that were stored since may have made the section longer than a page.
        for (let token: string | undefined = section.token; token !== undefined; ) {
          const page: Page = await this.#fetch(token, PAGE_IMAGES);
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
      // It is loaded again when it is next needed.
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
    if (loaded.length <= MAX_LOADED_SECTIONS) return;
    // The first section stays loaded, because new images go into it.
    const old = loaded.slice(1).sort((a, b) => a.used - b.used);
    for (const section of old.slice(0, loaded.length - MAX_LOADED_SECTIONS)) section.images = undefined;
  }
}
