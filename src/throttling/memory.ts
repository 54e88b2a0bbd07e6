const rememberMs = 2_000;
const mostRemembered = 10_000;

/** Remembers values for two seconds, and only so many. */
export function shortMemory<Value>() {
  const entries = new Map<string, { value: Value; until: number }>();
  return {
    get(key: string): Value | undefined {
      const entry = entries.get(key);
      return entry && entry.until > performance.now() ? entry.value : undefined;
    },
    set(key: string, value: Value): void {
      if (entries.size >= mostRemembered) entries.clear();
      entries.set(key, { value, until: performance.now() + rememberMs });
    },
    delete: (key: string) => entries.delete(key),
  };
}

/** Calls that answer within milliseconds, unless what they ask is away. */
export function calls() {
  const began = new Set<{ at: number }>();
  return {
    async watch<T>(call: Promise<T>): Promise<T> {
      const one = { at: performance.now() };
      began.add(one);
      try {
        return await call;
      } finally {
        began.delete(one);
      }
    },
    /** Whether one has had no answer for so many milliseconds. */
    areStuck(ms: number): boolean {
      const [oldest] = began;
      return oldest !== undefined && performance.now() - oldest.at > ms;
    },
  };
}
