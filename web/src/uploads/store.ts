// Remembers unfinished uploads in the browser's database (IndexedDB), to resume them after a reload or a crash.
//
// If there is no database (in some private windows), nothing is remembered and everything else works.
import type { Saved } from "./digest.worker";

export interface Remembered {
  requestId: string;
  name: string;
  size: number;
  /** The modification time of the file, in milliseconds since 1970. Name, size and this identify the file. */
  modified: number;
  /** When the upload began, in milliseconds since 1970. */
  begun: number;
  committed: number;
  saved: Saved | undefined;
  /** With a handle the browser can open the file again, with the user's permission. */
  handle: FileSystemFileHandle | undefined;
}

/** How long uploads are remembered; the server expires them after this time. */
const KEEP_MS = 7 * 24 * 3_600_000;
const STORE = "uploads";

let opened: Promise<IDBDatabase | undefined> | undefined;

async function database(): Promise<IDBDatabase | undefined> {
  opened ??= new Promise((resolve) => {
    try {
      const request = indexedDB.open("conexiones", 1);
      request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: "requestId" });
      request.onsuccess = () => resolve(request.result);
      request.onerror = request.onblocked = () => resolve(undefined);
    } catch {
      resolve(undefined);
    }
  });
  return await opened;
}

async function run<T>(mode: IDBTransactionMode, work: (store: IDBObjectStore) => IDBRequest<T>): Promise<T | undefined> {
  const found = await database();
  if (!found) return undefined;
  return await new Promise((resolve) => {
    try {
      const request = work(found.transaction(STORE, mode).objectStore(STORE));
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => resolve(undefined);
    } catch {
      resolve(undefined); // the database was closed, or is full
    }
  });
}

export async function remember(upload: Remembered): Promise<void> {
  await run("readwrite", (store) => store.put(upload));
}

export async function forget(requestId: string): Promise<void> {
  await run("readwrite", (store) => store.delete(requestId));
}

/** The remembered uploads that have not expired, oldest first. */
export async function recall(): Promise<Remembered[]> {
  const all = (await run<Remembered[]>("readonly", (store) => store.getAll())) ?? [];
  const old = all.filter(({ begun }) => Date.now() - begun > KEEP_MS);
  await Promise.all(old.map(({ requestId }) => forget(requestId)));
  return all.filter((one) => !old.includes(one)).sort((a, b) => a.begun - b.begun);
}

export async function isRemembered(requestId: string): Promise<boolean> {
  return (await run("readonly", (store) => store.count(requestId))) === 1;
}
