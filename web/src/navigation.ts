// The addresses of the page: "#/image/ID" and "#/try" are opened above the gallery, and the browser's Back closes them.

export class Navigation {
  readonly #route: () => void;
  /** Resolves when the browser has gone back, after `leave`. */
  #left: Promise<void> = Promise.resolve();

  /** `route` is called whenever the address has changed. */
  constructor(route: () => void) {
    this.#route = route;
    // Going back must not scroll away from the image that was shown last.
    history.scrollRestoration = "manual";
    addEventListener("popstate", route);
    addEventListener("hashchange", route);
    document.addEventListener("click", (event) => this.#click(event));
  }

  /** Opens an address in an entry of its own of the browser's history. */
  async open(hash: string): Promise<void> {
    await this.#left;
    // The mark tells that the gallery is the entry before.
    history.pushState({ above: true }, "", hash);
    this.#route();
  }

  /** Changes the address of what is open. */
  replace(hash: string): void {
    history.replaceState(history.state, "", hash);
  }

  /** Returns to the gallery: to its entry in the browser's history if there is one. */
  leave(): void {
    if ((history.state as { above?: boolean } | null)?.above) {
      this.#left = new Promise((resolve) => addEventListener("popstate", () => resolve(), { once: true }));
      history.back();
      return;
    }
    history.replaceState(null, "", location.pathname);
    this.#route();
  }

  /** Links within the page are opened as by `open`, unless the user wants another tab or window. */
  #click(event: MouseEvent): void {
    if (event.defaultPrevented || event.button || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const hash = (event.target as Element).closest?.("a[href^='#/']")?.getAttribute("href");
    if (!hash) return;
    event.preventDefault();
    if (hash !== location.hash) void this.open(hash);
  }
}
