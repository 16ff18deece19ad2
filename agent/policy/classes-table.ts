// The classes of one direction's rules as a table.

import { buildClassifier } from './classifier/build.ts';
import { type ClassifierEntry, ClassifierLimitError } from './classifier/entry.ts';
import type { Direction } from './ids.ts';
import type { Table } from './table-image.ts';
import { OverLimitError, wideTable } from './tables.ts';

/** Throws OverLimitError where the rules fit no size of table. */
export function classesTable(kind: number, direction: Direction, entries: readonly ClassifierEntry[]): Table {
  try {
    return wideTable(kind, buildClassifier(entries).bytes);
  } catch (error) {
    if (!(error instanceof ClassifierLimitError)) throw error;
    throw new OverLimitError(`${direction}: ${error.message}`, null);
  }
}
