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
