// What the evaluator may rely on: it is given documents without a fault.

/** Documents were checked: a number that cannot be read here is a broken promise of the caller. */
export const unreadable = (_index: number | null, message: string) => {
  throw new RangeError(`a number ${message}`);
};
