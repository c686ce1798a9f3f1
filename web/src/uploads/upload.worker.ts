// A worker that sends files, one at a time.
import { Transfer } from "./transfer";
import type { Outcome, Phase, Progress } from "./transfer";
import type { Remembered } from "./store";

/** `stop` ends the transfer under way, whose outcome is then "stopped". */
export type Order = { kind: "send"; remembered: Remembered; file: File } | { kind: "stop" };

export type Report =
  | { kind: "phase"; phase: Phase }
  | ({ kind: "progress" } & Progress)
  | { kind: "over"; outcome: Outcome };

const tell = (report: Report) => postMessage(report);

let controller = new AbortController();

addEventListener("message", ({ data }: MessageEvent<Order>) => {
  if (data.kind === "stop") return controller.abort();
  controller = new AbortController();
  const transfer = new Transfer(data.remembered, data.file, controller.signal, {
    phase: (phase) => tell({ kind: "phase", phase }),
    progress: (known) => tell({ kind: "progress", ...known }),
  });
  void transfer.run().then((outcome) => tell({ kind: "over", outcome }));
});
