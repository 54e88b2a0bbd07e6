/**
 * Heartbeats of the workers. A process that is stopped or hangs keeps its share of the connections, since the system still
 * has it; only its silence shows. The primary counts ticks of its own timer, not time: while it is stopped itself, or the
 * machine is suspended, it counts nothing.
 */
import type { Worker } from "node:cluster";

const beatEveryMs = 1_000;
/** Missed heartbeats after which a worker is considered unresponsive. */
export const silentBeatsAllowed = 5;
/** The same while it starts: it reads, compiles and connects. */
const startingBeatsAllowed = 60;
/** Missed heartbeats after which its metrics are not requested. */
const silentBeats = 2;

/** Sends heartbeats to the primary for as long as this worker runs. */
export function sendHeartbeats(): void {
  let isSending = false;
  const beat = (): void => {
    if (isSending || !process.connected) return; // a primary that is stopped does not read: nothing may pile up
    isSending = true;
    process.send?.({ beat: true }, undefined, undefined, () => {
      isSending = false;
    });
  };
  setInterval(beat, beatEveryMs).unref();
}

export type Heartbeat = {
  /** From now on the limit is that of a worker that serves. */
  serves(): void;
  /** Whether more heartbeats are missing than timers and scheduling explain. */
  isSilent(): boolean;
};

/** Watches a worker until it ends. @param hangs is called once, when it is considered unresponsive */
export function watchHeartbeat(worker: Worker, hangs: () => void): Heartbeat {
  let silent = 0;
  let allowed = startingBeatsAllowed;
  const timer = setInterval(() => {
    silent += 1;
    if (silent >= allowed) {
      clearInterval(timer);
      hangs();
    }
  }, beatEveryMs).unref();
  worker.on("message", () => {
    silent = 0;
  });
  worker.once("exit", () => clearInterval(timer));
  return {
    serves() {
      allowed = silentBeatsAllowed;
    },
    isSilent: () => silent > silentBeats,
  };
}
