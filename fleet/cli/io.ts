// Where a command writes: results to stdout, everything else to stderr, colours on terminals only.

import { styleText } from 'node:util';

export interface Io {
  /** A result; the newline is added. */
  out(line: string): void;
  /** A remark, a reason, progress. */
  err(line: string): void;
  paint(style: Style, text: string): string;
  /** How far long work is, in one line that takes the place of the one before; null: it is done. On terminals only. */
  progress?(line: string | null): void;
  readonly env: Readonly<Record<string, string | undefined>>;
}

export type Style = 'red' | 'green' | 'yellow' | 'dim' | 'bold';

export function processIo(): Io {
  // A pipe that was closed (`husk events | head`) ends the command, and is no error of it.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0);
    throw error;
  });
  const hasColours = process.stdout.isTTY === true && process.env.NO_COLOR === undefined;
  // Where lines go to the same terminal, the line of progress makes room for them.
  let isProgressShown = false;
  const progress = (line: string | null) => {
    if (line !== null || isProgressShown) process.stderr.write(`\r\x1b[K${line ?? ''}`);
    isProgressShown = line !== null;
  };
  const said = (stream: NodeJS.WriteStream) => (line: string) => {
    if (isProgressShown && stream.isTTY) progress(null);
    stream.write(`${line}\n`);
  };
  return {
    out: said(process.stdout),
    err: said(process.stderr),
    ...(process.stderr.isTTY === true ? { progress } : {}),
    paint: (style, text) => (hasColours ? styleText(style, text, { validateStream: false }) : text),
    env: process.env,
  };
}

/** Refused or failed: exit 1, the message on stderr. */
export class Failure extends Error {
  override readonly name = 'Failure';
}

/** Wrong usage: exit 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** Left-aligned columns; styles are put on after the widths are known. */
export function table(
  io: Io,
  head: readonly string[],
  rows: readonly (readonly string[])[],
  style: (column: number, text: string) => Style | null = () => null,
): void {
  const widths = head.map((name, column) =>
    Math.max(name.length, ...rows.map((row) => shown(row[column] ?? '').length)),
  );
  const line = (cells: readonly string[], paint: (column: number, text: string) => string) =>
    cells
      .map((cell, column) => {
        const text = shown(cell);
        const isLast = column === cells.length - 1;
        return paint(column, text) + (isLast ? '' : ' '.repeat((widths[column] ?? 0) - text.length));
      })
      .join('  ')
      .trimEnd();
  io.out(line(head, (_, text) => io.paint('dim', text)));
  for (const row of rows) {
    io.out(
      line(row, (column, text) => {
        const wanted = style(column, text);
        return wanted === null ? text : io.paint(wanted, text);
      }),
    );
  }
}

/** What comes from a device may reach a terminal here: characters that control one are shown, not obeyed. */
export function shown(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`,
  );
}

/** `2026-11-23 18:05:00` in local time, or a dash. */
export function time(ms: number | null): string {
  if (ms === null) return '-';
  const date = new Date(ms);
  const two = (value: number) => String(value).padStart(2, '0');
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}
