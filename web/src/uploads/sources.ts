// Files out of what is dropped, pasted or chosen; folders with all that lies below.

export interface Source {
  file: File;
  handle?: FileSystemFileHandle | undefined;
}

/** Files of one drop. */
export const MOST_FILES = 20_000;

const IMAGES = /\.(jpe?g|jfif|png|apng|gif|webp|tiff?|bmp|avif|hei[cf])$/i;

interface Dropped {
  handle: Promise<FileSystemHandle | null> | undefined;
  entry: FileSystemEntry | null;
  file: File | null;
}

/** Files of a drop or a paste: those of folders only if their names are of images. Call it within the event. */
export function transferred(transfer: DataTransfer): AsyncGenerator<Source> {
  // What it has must be taken before the event is over.
  const items: Dropped[] = [...transfer.items]
    .filter(({ kind }) => kind === "file")
    .map((item) => ({
      // With a handle the upload can go on after a reload without choosing the file again.
      handle: (item as { getAsFileSystemHandle?: () => Promise<FileSystemHandle | null> }).getAsFileSystemHandle?.(),
      entry: item.webkitGetAsEntry?.() ?? null,
      file: item.getAsFile(),
    }));
  return files(items);
}

/** Files of an `<input type=file>`; of a folder, those whose names are of images. */
export function chosen(input: HTMLInputElement): Source[] {
  const files = [...(input.files ?? [])];
  input.value = ""; // the same file may be chosen again
  return (input.webkitdirectory ? files.filter(({ name }) => IMAGES.test(name)) : files).map((file) => ({ file }));
}

async function* files(items: Dropped[]): AsyncGenerator<Source> {
  for (const { handle, entry, file } of items) {
    if (entry?.isDirectory) yield* below(entry as FileSystemDirectoryEntry);
    else if (file) {
      const found = await handle?.catch(() => null);
      yield { file, handle: found?.kind === "file" ? (found as FileSystemFileHandle) : undefined };
    }
  }
}

async function* below(folder: FileSystemDirectoryEntry): AsyncGenerator<Source> {
  const reader = folder.createReader();
  for (;;) {
    // It gives a part of the entries at a time, and none in the end.
    const entries = await new Promise<FileSystemEntry[]>((resolve) => reader.readEntries(resolve, () => resolve([])));
    if (entries.length === 0) return;
    for (const entry of entries) {
      if (entry.isDirectory) yield* below(entry as FileSystemDirectoryEntry);
      else if (IMAGES.test(entry.name)) {
        const file = await new Promise<File | undefined>((resolve) =>
          (entry as FileSystemFileEntry).file(resolve, () => resolve(undefined)),
        );
        if (file) yield { file };
      }
    }
  }
}
