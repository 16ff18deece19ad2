// Numbers of headers by the names that people know them by.

import { protocolNumbers, tcpFlagBits } from '../numbers.ts';
import type { Situation } from './fields.ts';

export const nameIn = (numbers: Readonly<Record<string, number>>, number: number) =>
  Object.entries(numbers).find(([, one]) => one === number)?.[0];
export const protocolName = (number: number) => nameIn(protocolNumbers, number) ?? `protocol ${number}`;
export const flagNames = (flags: number) =>
  Object.entries(tcpFlagBits)
    .filter(([, bit]) => (flags & bit) !== 0)
    .map(([name]) => name)
    .join('+') || 'no flags';
export const hex = (number: number, digits: number) => `0x${number.toString(16).padStart(digits, '0')}`;
export const macText = (mac: number) => (mac.toString(16).padStart(12, '0').match(/../g) ?? []).join(':');

export const situationWords: Readonly<Record<Situation, string>> = {
  new: 'state new',
  established: 'state established',
  related: 'state related',
  invalid: 'state invalid',
  midstream: 'TCP of no known connection',
  unanswered: 'TCP of an unanswered connection',
};
