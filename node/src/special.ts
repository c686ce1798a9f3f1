// FIFOs, sockets, devices and open descriptors as streams. None of these ever blocks a thread of Node.js for longer than
// a device needs, because a blocked thread cannot be aborted and keeps the process from ending.
import { close as closeCallback, constants, createReadStream, createWriteStream, fstatSync, open as openCallback } from "node:fs";
import { open as openHandle } from "node:fs/promises";
import { connect, Socket } from "node:net";
import type { Readable, Writable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";

import type { Place } from "./places.js";
import { unlessAborted } from "./scope.js";

const open = promisify(openCallback);
const close = promisify(closeCallback);

/** How often to look whether a FIFO has a reader by now. No event tells it. */
const READER_POLL_MS = 50;

/** What comes out of the place. A FIFO is waited for until its first byte. */
export async function readerOf({ kind, path, descriptor = -1 }: Place, signal?: AbortSignal): Promise<Readable> {
  if (kind === "descriptor") return await descriptorReader(path, descriptor);
  if (kind === "fifo") return await fifoReader(path);
  if (kind === "socket") return await connected(path, signal);
  return (await openHandle(path)).createReadStream();
}

/** Writes to the place. A FIFO is waited for until it has a reader. */
export async function writerTo({ kind, path, descriptor = -1 }: Place, signal: AbortSignal): Promise<Writable> {
  if (kind === "descriptor") {
    if (descriptor === 1) return process.stdout;
    if (descriptor === 2) return process.stderr;
    return createWriteStream(path, { fd: descriptor, autoClose: false });
  }
  if (kind === "fifo") return await fifoWriter(path, signal);
  if (kind === "socket") {
    const socket = await connected(path, signal);
    return socket.resume(); // answers are dropped: unread, they would reset the connection at its end
  }
  return (await openHandle(path, constants.O_WRONLY)).createWriteStream();
}

async function descriptorReader(path: string, descriptor: number): Promise<Readable> {
  if (descriptor === 0) return process.stdin;
  const stats = fstatSync(descriptor);
  if (stats.isFIFO()) return new Socket({ fd: await open(path, constants.O_RDONLY | constants.O_NONBLOCK), writable: false });
  if (stats.isSocket()) return new Socket({ fd: descriptor });
  return createReadStream(path, { fd: descriptor, autoClose: false });
}

async function fifoReader(path: string): Promise<Readable> {
  const socket = new Socket({ fd: await open(path, constants.O_RDONLY | constants.O_NONBLOCK), writable: false });
  // A FIFO without a writer is at its end. This writer keeps it open until the first byte of another one has come.
  const keeper = await open(path, constants.O_WRONLY | constants.O_NONBLOCK);
  let kept = true;
  const release = () => {
    if (kept) closeCallback(keeper);
    kept = false;
  };
  socket.once("readable", release).once("close", release);
  return socket;
}

async function fifoWriter(path: string, signal: AbortSignal): Promise<Writable> {
  for (;;) {
    try {
      const fd = await open(path, constants.O_WRONLY | constants.O_NONBLOCK);
      if (signal.aborted) await close(fd);
      signal.throwIfAborted();
      return new Socket({ fd, readable: false });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENXIO") throw error;
    }
    await sleep(READER_POLL_MS, undefined, { signal }).catch(() => signal.throwIfAborted());
  }
}

async function connected(path: string, signal?: AbortSignal): Promise<Socket> {
  const socket = connect(path);
  const opening = new Promise<void>((resolve, reject) => {
    socket.once("connect", resolve).once("error", reject);
  });
  try {
    await (signal ? unlessAborted(opening, signal) : opening);
  } catch (error) {
    socket.destroy();
    throw error;
  }
  return socket;
}
