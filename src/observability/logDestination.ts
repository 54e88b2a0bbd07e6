/**
 * Writes log lines to a file descriptor, and never fails or blocks the service. pino's own destination (sonic-boom) keeps what
 * it cannot write, throws the error once its listeners have seen it, and retries for ever at exit.
 */
import { closeSync, constants, fstatSync, openSync, readSync, write as startWrite, writeSync } from "node:fs";
import { isatty } from "node:tty";

export type LogDestination = {
  /** Takes one line with its line feed. Never throws, and returns before the line is written. */
  write(line: string): void;
  /** How many lines were dropped since the start. */
  dropped(): number;
};

/** While the reader is slower than the service, lines beyond this limit are dropped. */
const maxBufferedBytes = 67_108_864;
/** PIPE_BUF: a pipe takes a write of this size as a whole or not at all, so that lines of two processes do not mix. */
const maxPipeWriteBytes = 4_096;
const maxWriteBytes = 65_536;
/** Lines are collected for this long and written together. */
const batchMs = 10;
/** After an error, such as ENOSPC. */
const errorRetryMs = 1_000;
/** While a pipe or a socket is full: from the first to the second, doubled each time. */
const fullRetryMs = [10, 100] as const;
/** How long the exit of the process waits for the reader. */
const flushTimeoutMs = 1_000;

const lineFeed = 10;

/** Lines that are written together. Those that report a loss are not counted when they are lost themselves. */
type Chunk = { text: string; bytes: number; lines: number };
type Writing = { rest: Buffer; lines: number; isBegun: boolean };

/**
 * Lines are buffered while the reader is slow. After any other error the buffered lines are dropped, and writing is retried each
 * second.
 * @param report writes a line that says how many lines were dropped since the last report: once writing works again
 */
export function createLogDestination(fd: number, report: (dropped: number) => void): LogDestination {
  const chunkBytes = fstatSync(fd).isFIFO() ? maxPipeWriteBytes : maxWriteBytes;
  const queue: Chunk[] = [];
  let bufferedBytes = 0;
  let current: Writing | undefined;
  let state: "idle" | "collecting" | "writing" | "full" | "failed" | "ended" = "idle";
  let retry: NodeJS.Timeout | undefined;
  let pauseMs: number = fullRetryMs[0];
  let flushDeadline: number | undefined;
  const dropped = { total: 0, reported: 0, confirmed: 0 };
  let isReporting = false;
  /** How long the file was when an error cut the current line. */
  let cutAt: number | undefined;

  function write(line: string): void {
    const bytes = Buffer.byteLength(line);
    if (state === "failed" || state === "ended" || bufferedBytes + bytes > maxBufferedBytes) {
      dropped.total += isReporting ? 0 : 1;
      return;
    }
    append({ text: line, bytes, lines: isReporting ? 0 : 1 });
    if (state !== "idle") return;
    state = "collecting";
    setTimeout(writeNext, batchMs);
  }

  function append({ text, bytes, lines }: Chunk): void {
    bufferedBytes += bytes;
    const last = queue.at(-1);
    if (!last || last.bytes + bytes > chunkBytes) return void queue.push({ text, bytes, lines });
    last.text += text;
    last.bytes += bytes;
    last.lines += lines;
  }

  function writeNext(): void {
    if (flushDeadline !== undefined && performance.now() >= flushDeadline) return void end();
    if (!takeNext()) return void finishRound();
    state = "writing";
    startWrite(fd, current?.rest ?? Buffer.alloc(0), (error, count) => {
      const failure = advance(error, count);
      if (failure === "full") waitForReader();
      else if (failure) fail();
      else writeNext();
    });
  }

  /** Makes the next chunk the current one, unless there is one. @returns whether there is something to write */
  function takeNext(): boolean {
    const chunk = current ? undefined : queue.shift();
    if (chunk) current = { rest: Buffer.from(chunk.text), lines: chunk.lines, isBegun: false };
    return current !== undefined;
  }

  /** Notes what one write has done. */
  function advance(error: NodeJS.ErrnoException | null, count: number): "full" | "failed" | undefined {
    if (error) return error.code === "EAGAIN" ? "full" : "failed";
    pauseMs = fullRetryMs[0];
    bufferedBytes -= count;
    if (!current || count === current.rest.length) {
      current = undefined;
      return undefined;
    }
    const [done, rest] = [current.rest.subarray(0, count), current.rest.subarray(count)];
    const lines = Math.max(current.lines - done.filter((byte) => byte === lineFeed).length, 0);
    current = { rest, lines, isBegun: done.at(-1) !== lineFeed };
    return undefined;
  }

  /** Everything is written, and so is the last report. */
  function finishRound(): void {
    state = "idle";
    flushDeadline = undefined;
    dropped.confirmed = dropped.reported;
    reportDropped();
  }

  function reportDropped(): void {
    const count = dropped.total - dropped.reported;
    if (count === 0) return;
    dropped.reported = dropped.total;
    isReporting = true;
    report(count);
    isReporting = false;
  }

  function waitForReader(): void {
    state = "full";
    retry = setTimeout(writeNext, pauseMs);
    if (flushDeadline === undefined) retry.unref();
    pauseMs = Math.min(pauseMs * 2, fullRetryMs[1]);
  }

  function fail(): void {
    dropQueue();
    if (current && !current.isBegun) dropCurrent();
    if (current) {
      // The end of the line that is cut is kept: another line must not be written behind its beginning.
      const end = current.rest.indexOf(lineFeed) + 1;
      const behind = current.lines - 1;
      dropped.total += Math.max(behind, 0);
      current = { rest: current.rest.subarray(0, end), lines: Math.min(current.lines, 1), isBegun: true };
      bufferedBytes = end;
      cutAt = fileLength(fd);
    }
    dropped.reported = dropped.confirmed;
    if (flushDeadline !== undefined) return void end();
    state = "failed";
    retry = setTimeout(resume, errorRetryMs);
    retry.unref();
  }

  /** Tries again after an error, with the report of what was lost. */
  function resume(): void {
    const length = fileLength(fd);
    // Truncated, or continued by another process: the end of the line does not belong there any more.
    if (current && length !== cutAt) dropCurrent();
    state = "writing";
    if (!current && endsWithinLine(fd, length)) append({ text: "\n", bytes: 1, lines: 0 });
    reportDropped();
    writeNext();
  }

  function dropQueue(): void {
    for (const { lines } of queue.splice(0)) dropped.total += lines;
    bufferedBytes = current?.rest.length ?? 0;
  }

  function dropCurrent(): void {
    dropped.total += current?.lines ?? 0;
    bufferedBytes -= current?.rest.length ?? 0;
    current = undefined;
  }

  function end(): void {
    dropQueue();
    dropCurrent();
    state = "ended";
    clearTimeout(retry);
  }

  // Nothing else is left to do. The process lives for as long as there is a timer or a write.
  process.on("beforeExit", () => {
    if (flushDeadline !== undefined || (state === "idle" && !current)) return;
    flushDeadline = performance.now() + flushTimeoutMs;
    clearTimeout(retry);
    if (state === "failed") resume();
    else if (state === "full") writeNext();
  });
  // After process.exit() and an uncaught exception, only what can be written at once is.
  process.on("exit", () => {
    if (state === "writing") current = undefined; // it is on its way
    try {
      while (state !== "failed" && state !== "ended" && takeNext()) {
        if (advance(null, writeSync(fd, current?.rest ?? Buffer.alloc(0)))) break;
      }
    } catch {
      // There is nobody to tell.
    }
  });

  return { write, dropped: () => dropped.total };
}

/** @returns the length of a regular file in bytes; 0 for anything else, and where it cannot be read */
function fileLength(fd: number): number {
  try {
    const stat = fstatSync(fd);
    return stat.isFile() ? stat.size : 0;
  } catch {
    return 0;
  }
}

/**
 * Keeps Node from aborting at exit: it restores the settings of the terminals that it was started with, and takes it for a fault
 * of its own when one of them is gone. A closed descriptor is left alone.
 */
export function closeLostTerminalsAtExit(): void {
  process.on("exit", () => {
    // What has been lost is a device like any other, which nobody needs any more.
    for (const fd of [0, 1, 2]) if (!isatty(fd) && fstatSync(fd).isCharacterDevice()) closeSync(fd);
  });
}

/** Whether a file ends with a part of a line, perhaps of another process that writes to it and had no room either. */
function endsWithinLine(fd: number, length: number): boolean {
  if (length === 0) return false;
  try {
    const reader = openSync(`/proc/self/fd/${fd}`, constants.O_RDONLY);
    const byte = Buffer.alloc(1);
    readSync(reader, byte, 0, 1, length - 1);
    closeSync(reader);
    return byte[0] !== lineFeed;
  } catch {
    return true; // an empty line does no harm
  }
}

/**
 * Opens standard output or standard error so that writing to a full pipe, socket or terminal fails with EAGAIN at once. A blocked
 * write would hold a thread that hashes passwords, and the exit of the process.
 * @param fd 1 or 2
 * @returns another descriptor of the same file where the system has such; `fd` otherwise
 */
export function openNonBlocking(fd: 1 | 2): number {
  const stat = fstatSync(fd);
  if (isatty(fd) || stat.isFIFO()) {
    try {
      // Not by changing `fd`, which is shared with other processes that do not expect it.
      return openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
    } catch {
      // No /proc, no permission, or nobody reads.
    }
  }
  // Node makes pipes and sockets non-blocking when it opens these streams.
  if (stat.isFIFO() || stat.isSocket()) void (fd === 1 ? process.stdout : process.stderr);
  return fd;
}
