// What to say of something that was thrown, whatever it is.

/** Its message. */
export const messageOf = (thrown: unknown): string =>
  thrown instanceof Error ? thrown.message : String(thrown);
