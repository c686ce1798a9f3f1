// The files in what is dropped, pasted or chosen, including all files below folders.

export interface Source {
  file: File;
  handle?: FileSystemFileHandle | undefined;
}

/** The largest number of files that are taken at a time. */
export const MAX_FILES = 20_000;

const IMAGES = /\.(jpe?g|jfif|png|apng|gif|webp|tiff?|bmp|avif|hei[cf])$/i;

interface Dropped {
  handle: Promise<FileSystemHandle | null> | undefined;
  entry: FileSystemEntry | null;
  file: File | null;
}

/** The files of a drop or a paste; of folders, only those with the extension of an image. Call it within the event. */
export function transferred(transfer: DataTransfer): AsyncGenerator<Source> {
  // The items are gone when the event is over, so they are read at once.
  const items: Dropped[] = [...transfer.items]
    .filter(({ kind }) => kind === "file")
    .map((item) => ({
      // With a handle the upload can be resumed after a reload without choosing the file again.
      handle: (item as { getAsFileSystemHandle?: () => Promise<FileSystemHandle | null> }).getAsFileSystemHandle?.(),
      entry: item.webkitGetAsEntry?.() ?? null,
      file: item.getAsFile(),
    }));
  return files(items);
}

/** The files of an `<input type=file>`; of a folder, only those with the extension of an image. */
export function chosen(input: HTMLInputElement): Source[] {
  const files = [...(input.files ?? [])];
  input.value = ""; // otherwise choosing the same file again would be no change
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
    // readEntries() returns some of the entries at a time, and none at the end.
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
