/**
 * Heartbeats of the workers. A process that is stopped or hangs keeps receiving connections; only missing heartbeats show it.
 * The primary counts ticks of its own timer, and not time: while it is stopped itself, or the machine is suspended, it counts
 * nothing.
 */
import type { Worker } from "node:cluster";
import { sendToPrimary } from "./workerMessages.ts";

const intervalMs = 1_000;
/** After this many missed heartbeats, a worker counts as hung. */
export const missedHeartbeatsAllowed = 5;
/** The same for a worker that is starting: it loads, compiles and connects. */
const missedWhileStartingAllowed = 60;
/** After this many missed heartbeats, a worker is not asked for its metrics. */
const missedBeforeSilent = 2;

/** Sends heartbeats to the primary for as long as this worker runs. */
export function sendHeartbeats(): void {
  let isSending = false;
  const send = (): void => {
    if (isSending || !process.connected) return; // a stopped primary does not read: messages must not pile up
    isSending = true;
    sendToPrimary({ heartbeat: true }, () => {
      isSending = false;
    });
  };
  setInterval(send, intervalMs).unref();
}

export type Heartbeat = {
  /** From now on, the limit for a serving worker applies. */
  serves(): void;
  /** Whether more heartbeats are missing than timers and scheduling explain. */
  isSilent(): boolean;
};

/** Watches a worker until it ends. Any message counts as a heartbeat. @param onHang is called once */
export function watchHeartbeat(worker: Worker, onHang: () => void): Heartbeat {
  let missed = 0;
  let allowed = missedWhileStartingAllowed;
  const timer = setInterval(() => {
    missed += 1;
    if (missed >= allowed) {
      clearInterval(timer);
      onHang();
    }
  }, intervalMs).unref();
  worker.on("message", () => {
    missed = 0;
  });
  worker.once("exit", () => clearInterval(timer));
  return {
    serves() {
      allowed = missedHeartbeatsAllowed;
    },
    isSilent: () => missed > missedBeforeSilent,
  };
}
