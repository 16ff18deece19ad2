// A capture file of either format, packet after packet.
//
// Files are hostile: every length is held against what is there and against a limit before it is believed, a
// file that lies or ends too early gives a CaptureError with the place, and what came before it stands. Memory
// is one chunk and one packet, however long the file.

import { ByteSource } from './byte-source.ts';
import { type CapturedPacket, CaptureError } from './captured-packet.ts';
import { pcapForm, readPcap } from './pcap.ts';
import { isPcapng, readPcapng } from './pcapng.ts';

/** Of a file that is given as a whole; longer ones come in chunks. */
export const captureBytesMax = 256 * 1024 * 1024;

export interface Capture {
  /** All of the file, or those before the fault. */
  readonly packets: readonly CapturedPacket[];
  readonly fault: CaptureError | null;
}

/**
 * The packets of a file that comes in chunks of any size. Throws CaptureError and nothing else. The chunks must
 * not be written to afterwards: packets may be views on them.
 */
export function* capturedPackets(chunks: Iterable<Uint8Array>): Generator<CapturedPacket> {
  const source = new ByteSource(chunks);
  try {
    if (source.isAtEnd()) throw new CaptureError('malformed', 0, 'the file is empty');
    const magic = source.take(4, 'the first four bytes');
    const form = pcapForm(magic);
    if (form !== null) yield* readPcap(source, form);
    else if (isPcapng(magic)) yield* readPcapng(source);
    else throw new CaptureError('malformed', 0, `${whatElse(magic)}; pcap and pcapng are read`);
  } finally {
    source.close();
  }
}

/** A file in memory, read to its end or its fault. */
export function readCapture(bytes: Uint8Array): Capture {
  const packets: CapturedPacket[] = [];
  try {
    if (bytes.length > captureBytesMax) {
      throw new CaptureError('too-long', 0, `${bytes.length} bytes; ${captureBytesMax} are read at a time`);
    }
    for (const packet of capturedPackets([bytes])) packets.push(packet);
    return { packets, fault: null };
  } catch (error) {
    if (error instanceof CaptureError) return { packets, fault: error };
    throw error;
  }
}

/** Other first bytes that people come with. */
const others: Readonly<Record<string, string>> = {
  '1f8b': 'compressed with gzip: unpack it first',
  '28b5': 'compressed with zstd: unpack it first',
  '425a': 'compressed with bzip2: unpack it first',
  fd37: 'compressed with xz: unpack it first',
  '504b': 'a zip archive: unpack it first',
  '736e': 'a capture of snoop',
};

function whatElse(magic: Uint8Array): string {
  const hex = Array.from(magic, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return others[hex.slice(0, 4)] ?? `not a capture file: it begins with ${hex}`;
}
