// What of the link outlives the process: the session number and the protocol that the broker speaks.
//
// The session number grows with each CONNECT, also over crashes and reboots, since the controller tells an
// old message from a new one by it. It is written ahead in blocks: a crash skips some numbers and uses none
// twice, and a link that flaps does not wear out the flash.

import * as z from 'zod';
import { FileError, type Files } from '../os/files.ts';
import type { Log } from '../os/log.ts';
import type { ProtocolVersion } from './connection.ts';

const blockSize = 32;
const fileBytesMax = 4096;

const schema = z.strictObject({
  v: z.literal(1),
  /** Every number below may have been used. */
  sidReserved: z.int().min(0),
  /** The broker that was found to speak only MQTT 3.1.1, as host:port; '' for none. */
  oldBroker: z.string(),
});

export class SessionMemory {
  readonly #files: Files;
  readonly #path: string;
  readonly #log: Log;
  #sidReserved: number;
  #nextSid: number;
  #oldBroker: string;

  constructor(files: Files, path: string, log: Log) {
    this.#log = log;
    this.#files = files;
    this.#path = path;
    const known = read(files, path);
    this.#sidReserved = known.sidReserved;
    this.#nextSid = known.sidReserved;
    this.#oldBroker = known.oldBroker;
  }

  /** A session number that was never given out before. */
  nextSid(): number {
    if (this.#nextSid >= this.#sidReserved && this.#write(this.#nextSid + blockSize)) {
      this.#sidReserved = this.#nextSid + blockSize;
    }
    this.#nextSid += 1;
    return this.#nextSid;
  }

  version(broker: string): ProtocolVersion {
    return this.#oldBroker === broker ? 4 : 5;
  }

  rememberOldBroker(broker: string): void {
    if (this.#oldBroker === broker) return;
    this.#oldBroker = broker;
    this.#write(this.#sidReserved);
  }

  /** False: the disk refused. Being reachable matters more than the number, so the link goes on without. */
  #write(sidReserved: number): boolean {
    const known = { v: 1, sidReserved, oldBroker: this.#oldBroker };
    try {
      this.#files.writeAtomic(this.#path, JSON.stringify(known));
      return true;
    } catch (error) {
      if (!(error instanceof FileError)) throw error;
      this.#log.error({ error: error.message }, 'link: session number not stored');
      return false;
    }
  }
}

/** A file that is missing or damaged starts over: the boot id in each message tells the controller apart what the number cannot. */
function read(files: Files, path: string): { readonly sidReserved: number; readonly oldBroker: string } {
  const bytes = files.readBounded(path, fileBytesMax);
  if (bytes === null) return { sidReserved: 0, oldBroker: '' };
  try {
    return schema.parse(JSON.parse(new TextDecoder().decode(bytes)));
  } catch {
    return { sidReserved: 0, oldBroker: '' };
  }
}
