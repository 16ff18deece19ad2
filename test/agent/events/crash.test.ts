// Goal: kill -9 at any moment. No number is given twice, nothing that was written and not acknowledged is
// gone, and what the limit took is counted.
// Method: a child writes to a real folder and notes each step in a journal file, which outlives it; it is
// killed after a random time, the spool is opened here and held against the journals of all rounds, and the
// next child goes on in the same folder.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import t from 'tap';
import type { SpooledEvent, Stream } from '../../../agent/contract/event.ts';
import { lostIn, numbers, openSpool, readAll, spoolFolder } from './lab.ts';

const writer = join(import.meta.dirname, 'spool-writer.ts');

// Each round starts a process and syncs a disk, and the machine may have more to do.
t.setTimeout(180_000);

/** What the children said of one stream. */
interface Journal {
  /** The event's content by the number it was given. */
  readonly given: Map<number, number>;
  /** Everything up to and with it may be gone. */
  acknowledged: number;
}

/** The lines that a child wrote to its journal until it was killed. */
async function writeAndKill(
  folder: string,
  first: number,
  bytesMax: number,
  afterMs: number,
): Promise<string[]> {
  const path = join(folder, 'journal');
  writeFileSync(path, '');
  const child = spawn(process.execPath, [writer, folder, String(first), String(bytesMax), path], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const ended = once(child, 'exit');
  // The life to be cut short begins with the first line.
  while (statSync(path).size === 0 && child.exitCode === null) await setTimeout(2);
  await setTimeout(afterMs);
  child.kill('SIGKILL');
  const [, signal] = await ended;
  if (signal !== 'SIGKILL') throw new Error('the writer ended by itself');
  return readFileSync(path, 'utf8').split('\n').slice(0, -1);
}

/** Adds what a child said; throws where a number was given twice. */
function journal(lines: readonly string[], of: Record<'alert' | 'packet', Journal>): number {
  let last = 0;
  for (const line of lines) {
    const [what, seq = '', n = ''] = line.split(' ');
    if (what === 'k') {
      of.alert.acknowledged = Math.max(of.alert.acknowledged, Number(seq));
      continue;
    }
    const { given } = what === 'a' ? of.alert : of.packet;
    if (given.has(Number(seq))) throw new Error(`number ${seq} of ${what} was given twice`);
    given.set(Number(seq), Number(n));
    last = Math.max(last, Number(n));
  }
  return last;
}

function assertHonest(events: readonly SpooledEvent[], of: Journal, stream: Stream): void {
  let last = 0;
  for (const [index, event] of events.entries()) {
    if (event.seq <= last) throw new Error(`${stream}: ${event.seq} after ${last}`);
    last = event.seq;
    if (event.event.kind === 'gap') continue;
    const [n] = numbers([event]);
    const given = of.given.get(event.seq);
    // The child may have been killed between writing and saying so: such an event is new, and the last one.
    const isUnsaid = given === undefined && index === events.length - 1;
    if (given !== n && !isUnsaid) throw new Error(`${stream}: ${event.seq} is ${n}, was given to ${given}`);
    if (isUnsaid) of.given.set(event.seq, n ?? 0);
  }
}

t.test('nothing is gone, where the limit is far', async (t) => {
  const folder = spoolFolder(t);
  const bytesMax = 512 * 1024 * 1024;
  const of = { alert: newJournal(), packet: newJournal() };
  let next = 1;
  const missingPackets = new Set<number>();
  for (let round = 0; round < 12; round++) {
    const lines = await writeAndKill(folder, next, bytesMax, 1 + Math.random() * 80);
    next = journal(lines, of) + 2;

    const { spool } = openSpool(folder, { bytesMax });
    const alerts = readAll(spool, 'alert', 0);
    const packets = readAll(spool, 'packet', 0);
    assertHonest(alerts, of.alert, 'alert');
    assertHonest(packets, of.packet, 'packet');
    const there = new Set(alerts.map((event) => event.seq));
    for (const seq of of.alert.given.keys()) {
      if (seq > of.alert.acknowledged && !there.has(seq)) t.fail(`alert ${seq} of round ${round} is gone`);
    }
    // Packets of the turn in which the child was killed were in its memory: at most five, the last ones.
    const therePackets = new Set(packets.map((event) => event.seq));
    const gone = [...of.packet.given.keys()].filter(
      (seq) => !therePackets.has(seq) && !missingPackets.has(seq),
    );
    for (const seq of gone) missingPackets.add(seq);
    if (gone.length > 5) t.fail(`${gone.length} packets of round ${round} are gone`);
    await spool.close();
  }
  t.ok(of.alert.given.size > 300, `${of.alert.given.size} alerts, ${of.packet.given.size} packets written`);
  t.ok(of.alert.acknowledged > 0, 'some were acknowledged');
});

t.test('at the limit every alert is there or counted', async (t) => {
  const folder = spoolFolder(t);
  const bytesMax = 256 * 1024;
  const of = { alert: newJournal(), packet: newJournal() };
  let next = 1;
  for (let round = 0; round < 6; round++) {
    const lines = await writeAndKill(folder, next, bytesMax, 50 + Math.random() * 100);
    next = journal(lines, of) + 2;
    const { spool } = openSpool(folder, { bytesMax });
    const alerts = readAll(spool, 'alert', 0);
    assertHonest(alerts, of.alert, 'alert');
    const there = new Set(alerts.filter(({ event }) => event.kind !== 'gap').map((event) => event.seq));
    const gone = [...of.alert.given.keys()].filter(
      (seq) => seq > of.alert.acknowledged && !there.has(seq),
    ).length;
    const acknowledged = spool.acknowledged('alert');
    // Acknowledgements that did not reach the disk leave events that are counted though they arrived: never fewer.
    const uncertain = [...of.alert.given.keys()].filter(
      (seq) => seq > acknowledged && seq <= of.alert.acknowledged,
    ).length;
    const lost = lostIn(alerts);
    // And the one that the child was killed in, before it could say so.
    if (lost < gone || lost > gone + uncertain + 1)
      t.fail(`round ${round}: ${gone} gone, ${lost} counted, ${uncertain} uncertain`);
    if (spool.status().bytes > bytesMax) t.fail(`${spool.status().bytes} bytes`);
    // The controller has them now.
    spool.acknowledge('alert', spool.lastSeq('alert'));
    of.alert.acknowledged = spool.lastSeq('alert');
    await spool.close();
  }
  t.ok(of.alert.given.size > 300, `${of.alert.given.size} alerts written`);
});

function newJournal(): Journal {
  return { given: new Map(), acknowledged: 0 };
}
