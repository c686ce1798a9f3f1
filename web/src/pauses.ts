// Waiting before a retry.

/** Milliseconds to wait before the next attempt: exponential backoff with jitter, at most 5 s. */
export function delayAfter(attempts: number): number {
  return Math.min(5_000, 250 * 2 ** attempts) * (0.5 + Math.random() / 2);
}

/** Waits, but no longer than until the browser's network is back. Rejects when aborted. */
export async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  await new Promise<void>((resolve) => {
    const over = () => {
      clearTimeout(timer);
      removeEventListener("online", over);
      signal.removeEventListener("abort", over);
      resolve();
    };
    const timer = setTimeout(over, milliseconds);
    addEventListener("online", over);
    signal.addEventListener("abort", over);
  });
  signal.throwIfAborted();
}
