// What all commands share: the two options, and the way from a commander action to an exit code.

import { type Command, InvalidArgumentError } from 'commander';
import type { Controller } from '../../agent/policy/classes/expect.ts';
import { dataPaths } from '../data-folder.ts';
import { readControllers } from '../policy/proofs.ts';
import { ApiClient } from './api-client.ts';
import type { Io } from './io.ts';

/** A file of this folder: adds its command to the parent it is listed under. */
export type CommandFile = (parent: Command, io: Io) => void;

export interface CommonOptions {
  readonly json?: boolean;
  readonly data: string;
}

export const dataDefault = '/var/lib/husk-fleet';

/** A command with `--json` and `--data`. */
export function command(parent: Command, io: Io, nameAndArguments: string, summary: string): Command {
  return withJson(parent, nameAndArguments, summary).option(
    '--data <dir>',
    'data folder of the controller (or HUSK_DATA)',
    io.env.HUSK_DATA ?? dataDefault,
  );
}

/** One that needs no controller. */
export function withJson(parent: Command, nameAndArguments: string, summary: string): Command {
  return parent
    .command(nameAndArguments)
    .summary(summary)
    .description(summary)
    .option('--json', 'print JSON, for machines');
}

export function client(options: CommonOptions): ApiClient {
  return new ApiClient(dataPaths(options.data).socket);
}

/** JSON where it was asked for, words for people otherwise. */
export function show<T>(
  io: Io,
  options: { readonly json?: boolean },
  value: T,
  words: (value: T) => void,
): void {
  if (options.json === true) io.out(JSON.stringify(value, null, 2));
  else words(value);
}

/** `90s`, `30m`, `24h`, `7d` in seconds. */
export function duration(text: string): number {
  const match = /^([1-9]\d{0,8})(s|m|h|d)$/.exec(text);
  const unit = { s: 1, m: 60, h: 3600, d: 86_400 }[match?.[2] ?? ''];
  if (match === null || unit === undefined) throw new InvalidArgumentError('write it as 90s, 30m, 24h or 7d');
  return Number(match[1]) * unit;
}

/** A whole number from `min` to `max`, for commander. */
export function count(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d{1,15}$/.test(text) || value < min || value > max) {
      throw new InvalidArgumentError(`a whole number from ${min} to ${max}`);
    }
    return value;
  };
}

export function collect(text: string, before: readonly string[] = []): readonly string[] {
  return [...before, text];
}

/** For commander: see readControllers. */
export function controllers(text: string): readonly Controller[] {
  const read = readControllers(text);
  if (read === null) throw new InvalidArgumentError('write it as 192.0.2.10:8883 or [2001:db8::10]:8883');
  return read;
}

export function mqttsUrl(text: string): string {
  if (!/^mqtts:\/\/[^/@?#\s]+$/.test(text) || !URL.canParse(text)) {
    throw new InvalidArgumentError('write it as mqtts://host:port');
  }
  return text;
}
