// A worker that sends files.
import { Transfer } from "./transfer";
import type { Outcome, Phase, Progress } from "./transfer";
import type { Remembered } from "./store";

/**
 * `key` tells one transfer of this worker from another, and `trace` is that of all its calls. `stop` ends it, and its
 * outcome is then "stopped".
 */
export type Order =
  | { kind: "send"; key: number; remembered: Remembered; file: File; trace: string }
  | { kind: "stop"; key: number };

export type Report = { key: number } & (
  | { kind: "phase"; phase: Phase }
  | ({ kind: "progress" } & Progress)
  | { kind: "over"; outcome: Outcome }
);

const tell = (report: Report) => postMessage(report);

const controllers = new Map<number, AbortController>();

addEventListener("message", ({ data }: MessageEvent<Order>) => {
  const { key } = data;
  if (data.kind === "stop") return controllers.get(key)?.abort();
  const controller = new AbortController();
  controllers.set(key, controller);
  const transfer = new Transfer(data.remembered, data.file, data.trace, controller.signal, {
    phase: (phase) => tell({ key, kind: "phase", phase }),
    progress: (known) => tell({ key, kind: "progress", ...known }),
  });
  void transfer.run().then((outcome) => {
    controllers.delete(key);
    tell({ key, kind: "over", outcome });
  });
});
