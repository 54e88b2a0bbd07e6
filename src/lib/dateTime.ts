const form = /^(\d{4}-\d\d-\d\d)T(?:[01]\d|2[0-3]):\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)$/i;

/**
 * Whether a text is a date-time of RFC 3339 that `Date` and Postgres can represent: no 30 February and no 24:00, which `Date` takes
 * for the next day, no leap second, and no year beyond 9999 in UTC.
 */
export function isDateTime(text: string): boolean {
  const [, day = ""] = form.exec(text) ?? [];
  const [time, midnight] = [new Date(text), new Date(`${day}T00:00:00Z`)];
  if (Number.isNaN(time.getTime()) || Number.isNaN(midnight.getTime())) return false;
  return midnight.toISOString().startsWith(day) && /^\d{4}-/.test(time.toISOString());
}
