// Text that others chose, on its way into JSON.

/** No lone surrogates: strict JSON on the other side refuses a whole batch for one. */
export function wellFormed(text: string): string {
  return text.isWellFormed() ? text : text.toWellFormed();
}
