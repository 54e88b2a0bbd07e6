const lifetimeMs = 2_000;
const maxEntries = 10_000;

/** A bounded map whose entries expire after two seconds. */
export function expiringMap<Value>() {
  const entries = new Map<string, { value: Value; until: number }>();
  return {
    get(key: string): Value | undefined {
      const entry = entries.get(key);
      return entry && entry.until > performance.now() ? entry.value : undefined;
    },
    set(key: string, value: Value): void {
      if (entries.size >= maxEntries) entries.clear();
      entries.set(key, { value, until: performance.now() + lifetimeMs });
    },
  };
}
