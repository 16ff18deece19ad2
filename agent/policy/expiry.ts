// When what has an end is over: a day counts to its end, by UTC.

const dayMs = 86_400_000;

/** Milliseconds since 1970 of `2027-06-01` or `2027-06-01T12:00:00Z`; null: there is no such day or moment. */
export function endMs(expires: string): number | null {
  const ms = Date.parse(expires);
  // The 30th of February is read as one of March.
  if (Number.isNaN(ms) || !new Date(ms).toISOString().startsWith(expires.slice(0, 10))) return null;
  return expires.length === 10 ? ms + dayMs : ms;
}
