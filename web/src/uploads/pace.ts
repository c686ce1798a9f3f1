// How fast an upload goes: bytes in a second over the last few.

const WINDOW_MS = 6_000;

export class Pace {
  #marks: { time: number; bytes: number }[] = [];

  start(bytes: number): void {
    this.#marks = [{ time: performance.now(), bytes }];
  }

  stop(): void {
    this.#marks = [];
  }

  reached(bytes: number): void {
    const time = performance.now();
    this.#marks.push({ time, bytes });
    while (this.#marks.length > 2 && time - (this.#marks[0]?.time ?? 0) > WINDOW_MS) this.#marks.shift();
  }

  /** Undefined until there is something to tell it from. */
  get bytesPerSecond(): number | undefined {
    const [first] = this.#marks;
    const last = this.#marks.at(-1);
    if (!first || !last || last === first || last.time - first.time < 50) return undefined;
    return ((last.bytes - first.bytes) / (last.time - first.time)) * 1000;
  }
}
