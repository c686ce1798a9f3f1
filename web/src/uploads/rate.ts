// The transfer rate of an upload, averaged over the last seconds.

/** The time over which the rate is averaged. */
const WINDOW_MS = 6_000;

export class TransferRate {
  #marks: { time: number; bytes: number }[] = [];

  start(bytes: number): void {
    this.#marks = [{ time: performance.now(), bytes }];
  }

  stop(): void {
    this.#marks = [];
  }

  /** Notes that the upload has reached this many bytes. */
  reached(bytes: number): void {
    const time = performance.now();
    this.#marks.push({ time, bytes });
    while (this.#marks.length > 2 && time - (this.#marks[0]?.time ?? 0) > WINDOW_MS) this.#marks.shift();
  }

  /** Undefined until there are two measurements. */
  get bytesPerSecond(): number | undefined {
    const [first] = this.#marks;
    const last = this.#marks.at(-1);
    if (!first || !last || last === first || last.time - first.time < 50) return undefined;
    return ((last.bytes - first.bytes) / (last.time - first.time)) * 1000;
  }
}
