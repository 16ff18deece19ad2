// Cuts the rows of an answer into parts that each fit a message.

import type { AnswerPart } from '../contract/query.ts';
import type { Row } from './views.ts';

/** Brackets, id, numbers and the envelope around the rows. */
const overheadBytes = 512;

/** At least one part; the last says so. A row that is too large for a part of its own is named, not sent. */
export function makeParts(id: string, rows: readonly Row[], bytesMax: number): AnswerPart[] {
  const room = bytesMax - overheadBytes;
  const groups: Row[][] = [[]];
  let filled = 0;
  for (const row of rows) {
    const text = JSON.stringify(row);
    const bytes = Buffer.byteLength(text) + 1;
    const sent = bytes > room ? { tooLarge: bytes, begins: text.slice(0, 200) } : row;
    const sentBytes = bytes > room ? overheadBytes : bytes;
    if (filled + sentBytes > room) {
      groups.push([]);
      filled = 0;
    }
    groups.at(-1)?.push(sent);
    filled += sentBytes;
  }
  return groups.map((group, part) => ({ id, part, last: part === groups.length - 1, rows: group }));
}
