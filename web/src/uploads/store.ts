// Remembers unfinished uploads in the browser's database (IndexedDB), to resume them after a reload or a crash.
//
// If there is no database (in some private windows), nothing is remembered and everything else works.
import type { Saved } from "./reader";

export interface Remembered {
  requestId: string;
  name: string;
  /** The name as the server was told; undefined in uploads that an older page began. */
  sentName?: string;
  size: number;
  /** The modification time of the file, in milliseconds since 1970. Name, size and this identify the file. */
  modified: number;
  /** Who was signed in, empty if nobody was; undefined in uploads that an older page began. */
  by?: string;
  /** When the upload began, in milliseconds since 1970. */
  begun: number;
  /** When the server last took bytes, likewise; undefined in uploads that an older page began. */
  touched?: number;
  committed: number;
  saved: Saved | undefined;
  /** With a handle the browser can open the file again, with the user's permission. */
  handle: FileSystemFileHandle | undefined;
}

/** How long the server keeps an upload: since its last bytes, and since its beginning. In milliseconds. */
export interface Expiry {
  idle: number;
  total: number;
}

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

/** The remembered uploads of whoever is signed in that the server has not expired yet, oldest first. */
export async function recall({ idle, total }: Expiry, who: string): Promise<Remembered[]> {
  const all = (await run<Remembered[]>("readonly", (store) => store.getAll())) ?? [];
  const now = Date.now();
  const expired = ({ begun, touched = begun }: Remembered) => now - begun > total || now - touched > idle;
  await Promise.all(all.filter(expired).map(({ requestId }) => forget(requestId)));
  return all.filter((one) => !expired(one) && (one.by ?? who) === who).sort((a, b) => a.begun - b.begun);
}

/** 128 random bits as text. `crypto.randomUUID` exists only in secure contexts. */
export function newId(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
