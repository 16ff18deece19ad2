// Rows for people: a table where they are alike, lines of `name  value` where there is one.

import type { Row } from './control.ts';

const columnMax = 60;
const gap = '  ';

/** A table of all columns that some row has, in the order they first appear. */
export function showTable(rows: readonly Row[]): string {
  if (rows.length === 0) return 'none\n';
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const cells = [columns, ...rows.map((row) => columns.map((column) => shorten(showValue(row[column]))))];
  const widths = columns.map((_, at) => Math.max(...cells.map((line) => line[at]?.length ?? 0)));
  return cells
    .map(
      (line) =>
        `${line
          .map((cell, at) => cell.padEnd(widths[at] ?? 0))
          .join(gap)
          .trimEnd()}\n`,
    )
    .join('');
}

/** One thing with many fields; a field that has fields of its own is indented below its name. */
export function showRecord(row: Row, indent = ''): string {
  const width = Math.max(...Object.keys(row).map((name) => name.length));
  return Object.entries(row)
    .map(([name, value]) => {
      if (isRecord(value)) return `${indent}${name}\n${showRecord(value, `${indent}${gap}`)}`;
      if (Array.isArray(value) && value.length > 0) {
        const lines = value.map((one) => `${indent}${gap}${showValue(one)}\n`).join('');
        return `${indent}${name}\n${lines}`;
      }
      return `${indent}${name.padEnd(width)}${gap}${showValue(value)}\n`;
    })
    .join('');
}

export function showValue(value: unknown): string {
  if (value === null || value === undefined) return '-';
  if (Array.isArray(value)) return value.length === 0 ? '-' : value.map(showValue).join(' ');
  if (typeof value === 'object') return JSON.stringify(value);
  // What comes from a policy or a packet must not move the terminal's cursor.
  return String(value).replace(/\p{Cc}/gu, '?');
}

function isRecord(value: unknown): value is Row {
  return (
    typeof value === 'object' && value !== null && !Array.isArray(value) && Object.keys(value).length > 0
  );
}

function shorten(text: string): string {
  return text.length <= columnMax ? text : `${text.slice(0, columnMax - 1)}…`;
}
