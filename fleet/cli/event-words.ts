// An event in words, for people: the same wherever one is shown.

import type { HuskEvent } from '../../agent/contract/event.ts';
import { endpointWords } from '../../agent/policy/packet-words.ts';

export function eventWords(event: HuskEvent): string {
  switch (event.kind) {
    case 'packet': {
      const times = event.count > 1 ? ` ×${event.count}` : '';
      const from = endpoint(event.from, event.fromPort);
      const to = endpoint(event.to, event.toPort);
      const way = event.cameBy === undefined ? event.interface : `${event.cameBy} → ${event.interface}`;
      return `${wouldBe(event.mode, event.verdict)} ${way} protocol ${event.protocol} ${from} → ${to} by ${event.rule ?? event.reason}${event.reason === 'limited' ? ' (above its limit)' : ''}${times}`;
    }
    case 'call': {
      const times = event.count > 1 ? ` ×${event.count}` : '';
      const where =
        event.call === 'socket' ? `${event.family} ${event.type}` : endpoint(event.address, event.port);
      return `${wouldBe(event.mode, event.verdict)} ${event.call} ${where} of ${event.command} (${event.pid}, uid ${event.uid}) in ${event.cgroup} by ${event.rule ?? 'default'}${times}`;
    }
    case 'operation': {
      const times = event.count > 1 ? ` ×${event.count}` : '';
      const what = [
        event.operation,
        ...(event.path === null ? [] : [event.path]),
        ...(event.number === undefined ? [] : [String(event.number)]),
        ...(event.traits ?? []).map((trait) => `(${trait})`),
      ].join(' ');
      const end = event.killed === true ? ', ended' : '';
      return `${wouldBe(event.mode, event.verdict)} ${what} of ${event.command} (${event.pid}, uid ${event.uid}) in ${event.cgroup}${end} by ${event.rule ?? 'default'}${times}`;
    }
    case 'audit':
      return `${event.what} ${JSON.stringify(event.detail)}`;
    case 'gap':
      return `lost ${event.lost} events (${event.where})`;
  }
}

function wouldBe(mode: 'monitor' | 'enforce', verdict: string): string {
  return mode === 'monitor' && verdict !== 'allow' ? `would ${verdict}` : verdict;
}

function endpoint(address: string, port: number): string {
  return endpointWords(address, port === 0 ? null : port);
}
