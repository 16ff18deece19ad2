// A process to be killed: writes events to a spool as fast as it can and notes in a journal, after each step,
// what it has done. `node spool-writer.ts FOLDER FIRST BYTES_MAX JOURNAL`
//
//   a SEQ N   alert N was given number SEQ and is in a file
//   p SEQ N   packet N was given number SEQ; it is in a file after this turn of the event loop
//   k SEQ     alerts were acknowledged up to SEQ

import { openSync, writeSync } from 'node:fs';
import { setImmediate as turn } from 'node:timers/promises';
import { Spool } from '../../../agent/events/spool.ts';
import { SystemClock } from '../../../agent/os/clock.ts';
import { silentLog } from '../../../agent/os/log.ts';
import { audit, bootA } from './lab.ts';

/** Seconds become hundredths, so that marks are saved and files removed many times in a short life. */
class HastyClock extends SystemClock {
  override sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return super.sleep(ms / 100, signal);
  }
}

const [folder = '', first = '1', bytesMax = '0', journal = ''] = process.argv.slice(2);
const journalFd = openSync(journal, 'a');
const spool = Spool.open({
  folder,
  bytesMax: Number(bytesMax),
  bootId: bootA,
  clock: new HastyClock(),
  log: silentLog,
});
for (let n = Number(first); ; n++) {
  spool.append('alert', audit(n, n % 200));
  say(`a ${spool.lastSeq('alert')} ${n}`);
  spool.append('packet', audit(n, n % 200));
  say(`p ${spool.lastSeq('packet')} ${n}`);
  if (n % 97 === 0) {
    const upTo = spool.lastSeq('alert') - 40;
    spool.acknowledge('alert', upTo);
    say(`k ${upTo}`);
  }
  if (n % 5 === 0) await turn();
}

function say(line: string): void {
  writeSync(journalFd, `${line}\n`);
}
