// The packet programs on interfaces of one namespace: run by guard.ts in it. A command a line on stdin, an answer a
// line on stdout, both JSON.

import { createInterface } from 'node:readline';
import { addon, type Handle } from '../../native/index.ts';
import { objectFiles } from '../agent/apply-bench.ts';
import type { GuardCommand, GuardHook } from './guard.ts';
import { interfaces, LivePackets, type PacketHook } from './live-packets.ts';

const packets = new LivePackets(objectFiles());
let links: Handle[] = [];

function attach(hooks: readonly GuardHook[]): null {
  for (const link of links) link.close();
  const indexes = new Map(interfaces().map(({ name, index }) => [name, index]));
  links = hooks.map(({ interface: name, at, mode = 'native' }) => {
    const index = indexes.get(name);
    if (index === undefined) throw new Error(`no interface ${name}`);
    if (at === 'xdp') return addon.attachXdp(packets.program(at), index, mode);
    return addon.attachTcx(packets.program(at), index, at);
  });
  return null;
}

/** Each frame once through a program, whatever it is attached to. */
function run(at: PacketHook, frames: readonly string[]): { verdict: number; frame: string }[] {
  return frames.map((frame) => {
    const { verdict, data } = addon.testRun(packets.program(at), Buffer.from(frame, 'hex'));
    return { verdict, frame: Buffer.from(data).toString('hex') };
  });
}

async function answer(command: GuardCommand): Promise<unknown> {
  switch (command.do) {
    case 'load':
      await packets.load(command.policy, interfaces());
      return null;
    case 'attach':
      return attach(command.hooks);
    case 'totals':
      return packets.totals();
    case 'counts':
      return packets.counts();
    case 'run':
      return run(command.at, command.frames);
  }
}

console.log(JSON.stringify({ ok: null }));
for await (const line of createInterface({ input: process.stdin })) {
  try {
    console.log(JSON.stringify({ ok: await answer(JSON.parse(line)) }));
  } catch (error) {
    console.log(JSON.stringify({ error: error instanceof Error ? (error.stack ?? error.message) : error }));
  }
}
