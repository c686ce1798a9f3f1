// Deleting with undo: the image is hidden at once, and deleted when the time for undo is over or the page is left.
import { problem } from "./calls";
import type { Listing } from "./gallery/listing";
import { t } from "./i18n";
import { images, lastingImages } from "./rpc";
import { toast } from "./toast";

/** How long a deletion can be undone. */
const UNDO_MS = 7_000;

export class Deletion {
  readonly #listing: Listing;
  readonly #pending = new Map<string, ReturnType<typeof setTimeout>>();

  constructor(listing: Listing) {
    this.#listing = listing;
    addEventListener("pagehide", () => {
      for (const id of this.#pending.keys()) void lastingImages.deleteImage({ id }).catch(() => undefined);
      this.#pending.clear();
    });
  }

  isPending(id: string): boolean {
    return this.#pending.has(id);
  }

  begin(id: string): void {
    if (this.#pending.has(id)) return;
    this.#listing.hide(id);
    this.#pending.set(id, setTimeout(() => void this.#delete(id), UNDO_MS));
    toast(t("deleted"), { label: t("undo"), run: () => this.#undo(id) }, UNDO_MS);
  }

  #undo(id: string): void {
    if (!this.#pending.has(id)) return;
    clearTimeout(this.#pending.get(id));
    this.#pending.delete(id);
    this.#listing.unhide(id);
  }

  async #delete(id: string): Promise<void> {
    this.#pending.delete(id);
    try {
      await images.deleteImage({ id });
      this.#listing.remove(id);
    } catch (error) {
      const { reason, message } = problem(error);
      if (reason === "IMAGE_NOT_FOUND") return this.#listing.remove(id), undefined;
      this.#listing.unhide(id);
      // A reason is the server's own, and its sentence says what can be done.
      toast(reason ? `${t("deleteFailed")} ${message}` : t("deleteFailed"), { label: t("again"), run: () => this.begin(id) });
    }
  }
}
