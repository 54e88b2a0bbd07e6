/**
 * Writes log lines to a file descriptor, without ever failing or blocking the service. pino's own destination (sonic-boom) keeps
 * lines that it cannot write, throws write errors, and retries forever at exit.
 */
import { closeSync, constants, fstatSync, openSync, readSync, write as startWrite, writeSync } from "node:fs";
import { isatty } from "node:tty";

export type LogDestination = {
  /** Takes one line with its line feed. Never throws or blocks. Urgent lines are not collected first. */
  write(line: string, options?: { isUrgent?: boolean }): void;
  /** The number of lines that were dropped since the start. */
  dropped(): number;
};

/** While the reader is slower than the service, lines beyond this limit are dropped. */
const maxBufferedBytes = 67_108_864;
/** PIPE_BUF: writes to a pipe up to this size are atomic, so that lines of two processes do not mix. */
const maxPipeWriteBytes = 4_096;
const maxWriteBytes = 65_536;
/** Lines are collected for this long and written together. SIGKILL loses those that wait. */
const batchMs = 10;
/** Delay before the next try after an error, such as ENOSPC. */
const errorRetryMs = 1_000;
/** First and longest delay while a pipe or a socket is full. It doubles each time. */
const fullRetryMs = [10, 100] as const;
/** How long the process waits for a slow reader before it exits. */
const flushTimeoutMs = 1_000;

const lineFeed = 10;

/** Lines that are written together. `lines` does not count reports of dropped lines. */
type Chunk = { text: string; bytes: number; lines: number };
/** The chunk that is being written. `isWithinLine`: a line has been written in part. */
type Writing = { rest: Buffer; lines: number; isWithinLine: boolean };

/**
 * Buffers lines while the reader is slow. After any other error, the buffered lines are dropped and writing is retried each
 * second.
 * @param report is called once writing works again. It writes a line with the number of lines dropped since the last report
 */
export function createLogDestination(fd: number, report: (dropped: number) => void): LogDestination {
  const stat = statOf(fd);
  const chunkBytes = stat.isFIFO() ? maxPipeWriteBytes : maxWriteBytes;
  // A write to a file can block, so that it needs a thread, which may be hashing passwords. A pipe or socket gets an urgent line
  // before the response is sent, unless its reader is slow.
  const neverBlocks = stat.isFIFO() || stat.isSocket();
  let isReaderSlow = false;
  const queue: Chunk[] = [];
  let bufferedBytes = 0;
  let current: Writing | undefined;
  let state: "idle" | "collecting" | "writing" | "full" | "failed" | "ended" = "idle";
  let batch: NodeJS.Timeout | undefined;
  let retry: NodeJS.Timeout | undefined;
  let pauseMs: number = fullRetryMs[0];
  let flushDeadline: number | undefined;
  const dropped = { total: 0, reported: 0, confirmed: 0 };
  let isReporting = false;
  /** The length of the file when an error interrupted the current line. */
  let cutAt: number | undefined;

  function write(line: string, { isUrgent = false } = {}): void {
    const bytes = Buffer.byteLength(line);
    if (state === "failed" || state === "ended" || bufferedBytes + bytes > maxBufferedBytes) {
      dropped.total += isReporting ? 0 : 1;
      return;
    }
    append({ text: line, bytes, lines: isReporting ? 0 : 1 });
    if (state === "idle") {
      state = "collecting";
      batch = setTimeout(writeNext, batchMs);
    }
    if (isUrgent && state === "collecting") {
      clearTimeout(batch);
      writeNext();
    }
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
    do {
      if (flushDeadline !== undefined && performance.now() >= flushDeadline) return void end();
      if (!takeNext()) return void finishRound();
      state = "writing";
      if (!neverBlocks || isReaderSlow) {
        startWrite(fd, current?.rest ?? Buffer.alloc(0), (error, count) => {
          if (hasAdvanced(error, count)) writeNext();
        });
        return;
      }
    } while (hasAdvanced(...writeNow()));
  }

  function writeNow(): [error: NodeJS.ErrnoException | null, count: number] {
    try {
      return [null, writeSync(fd, current?.rest ?? Buffer.alloc(0))];
    } catch (error) {
      return [error as NodeJS.ErrnoException, 0];
    }
  }

  /** Records the result of a write. @returns whether the next one can follow at once */
  function hasAdvanced(error: NodeJS.ErrnoException | null, count: number): boolean {
    const failure = advance(error, count);
    if (failure === "full") waitForReader();
    else if (failure) fail();
    return failure === undefined;
  }

  /** Takes the next chunk, unless one is being written. @returns whether there is something to write */
  function takeNext(): boolean {
    const chunk = current ? undefined : queue.shift();
    if (chunk) current = { rest: Buffer.from(chunk.text), lines: chunk.lines, isWithinLine: false };
    return current !== undefined;
  }

  /** Records the result of a write. @returns why the write failed, if it did */
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
    current = { rest, lines, isWithinLine: done.at(-1) !== lineFeed };
    return undefined;
  }

  /** Everything has been written, including the last report. */
  function finishRound(): void {
    state = "idle";
    isReaderSlow = false;
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
    isReaderSlow = true;
    retry = setTimeout(writeNext, pauseMs);
    if (flushDeadline === undefined) retry.unref();
    pauseMs = Math.min(pauseMs * 2, fullRetryMs[1]);
  }

  function fail(): void {
    dropQueue();
    if (current && !current.isWithinLine) dropCurrent();
    if (current) {
      // Keep the rest of the interrupted line: no other line may follow its first part.
      const end = current.rest.indexOf(lineFeed) + 1;
      const laterLines = current.lines - 1;
      dropped.total += Math.max(laterLines, 0);
      current = { rest: current.rest.subarray(0, end), lines: Math.min(current.lines, 1), isWithinLine: true };
      bufferedBytes = end;
      cutAt = fileLength(fd);
    }
    dropped.reported = dropped.confirmed;
    if (flushDeadline !== undefined) return void end();
    state = "failed";
    retry = setTimeout(resume, errorRetryMs);
    retry.unref();
  }

  /** Retries after an error, and reports the dropped lines. */
  function resume(): void {
    const length = fileLength(fd);
    // The file was truncated, or another process wrote to it: the rest of the line would be in the wrong place.
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

  // Node emits this when nothing else is left to do. A timer or a write keeps the process alive.
  process.on("beforeExit", () => {
    if (flushDeadline !== undefined || (state === "idle" && !current)) return;
    flushDeadline = performance.now() + flushTimeoutMs;
    clearTimeout(retry);
    if (state === "failed") resume();
    else if (state === "full") writeNext();
  });
  // After process.exit() or an uncaught exception, only synchronous writes are possible.
  process.on("exit", () => {
    if (state === "writing") current = undefined; // its write was already started
    try {
      while (state !== "failed" && state !== "ended" && takeNext()) {
        if (advance(null, writeSync(fd, current?.rest ?? Buffer.alloc(0)))) break;
      }
    } catch {
      // The error cannot be reported either.
    }
  });

  return { write, dropped: () => dropped.total };
}

/**
 * The type of a file. Not with numbers, but with bigints: Node's realpathSync, by which modules are found, reads the type of the
 * last file that was examined with numbers, and takes a symbolic link for a pipe if that was one.
 */
const statOf = (fd: number) => fstatSync(fd, { bigint: true });

/** @returns the length of a regular file in bytes; 0 for other files, and if the length cannot be read */
function fileLength(fd: number): number {
  try {
    const stat = statOf(fd);
    return stat.isFile() ? Number(stat.size) : 0;
  } catch {
    return 0;
  }
}

/**
 * Prevents Node from aborting at exit. Node restores the settings of the terminals that it was started with, and aborts if one of
 * them was lost. It skips closed descriptors.
 */
export function closeLostTerminalsAtExit(): void {
  process.on("exit", () => {
    // A lost terminal is still a character device, but not a terminal.
    for (const fd of [0, 1, 2]) if (!isatty(fd) && statOf(fd).isCharacterDevice()) closeSync(fd);
  });
}

/** Whether a file ends within a line. Another process that writes to it may have run out of space, too. */
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
 * write would occupy a thread that hashes passwords, and delay the exit of the process.
 * @param fd 1 or 2
 * @returns another descriptor of the same file if the system supports it; otherwise `fd`
 */
export function openNonBlocking(fd: 1 | 2): number {
  const stat = statOf(fd);
  if (isatty(fd) || stat.isFIFO()) {
    try {
      // The flag is not set on `fd` itself, because other processes may share it.
      return openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
    } catch {
      // No /proc, no permission, or nobody reads.
    }
  }
  // Node makes pipes and sockets non-blocking when it opens these streams.
  if (stat.isFIFO() || stat.isSocket()) void (fd === 1 ? process.stdout : process.stderr);
  return fd;
}
