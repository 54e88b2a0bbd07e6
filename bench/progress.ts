/** Shows on standard error what is being measured: on a terminal as one line that changes, else as one line per step. */

export type Progress = {
  /** Begins a step, such as a workload. */
  step(what: string): void;
  /** Adds a detail to the current step, on a terminal only. */
  detail(what: string): void;
  /** Clears the line, before something else is printed. */
  clear(): void;
};

/** @param steps how many calls of `step` are expected */
export function showProgress(steps: number, stream: NodeJS.WriteStream = process.stderr): Progress {
  const began = performance.now();
  let count = 0;
  let current = "";
  const clear = () => void (stream.isTTY && stream.write("\r\u001b[2K"));
  const elapsed = () => {
    const seconds = Math.round((performance.now() - began) / 1000);
    return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
  };
  return {
    step(what) {
      count += 1;
      current = `[${count}/${steps}] ${what}`;
      clear();
      stream.write(stream.isTTY ? current : `${elapsed()}  ${current}\n`);
    },
    detail(what) {
      if (!stream.isTTY) return;
      clear();
      stream.write(`${current}: ${what} (${elapsed()})`);
    },
    clear,
  };
}
