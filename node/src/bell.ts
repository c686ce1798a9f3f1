// A bell that wakes those who wait for a condition which other work of the same operation makes true.

export class Bell {
  #waiting: (() => void)[] = [];

  /** Lets everyone who waits look again. */
  ring(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  }

  /** Waits until the condition holds. Whoever changes what it depends on has to ring. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }
}
