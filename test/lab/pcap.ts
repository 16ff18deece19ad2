// Capture files (libpcap's classic format), read in both byte orders and both clock units, and written.

export interface Capture {
  /** 1: Ethernet. */
  readonly linkType: number;
  readonly frames: readonly Buffer[];
}

const microseconds = 0xa1b2c3d4;
const nanoseconds = 0xa1b23c4d;
/** Of any packet in a file we read; larger is a damaged file. */
const frameBytesMax = 1 << 18;

export function readCapture(file: Buffer): Capture {
  const magic = file.readUInt32LE(0);
  const swapped = file.readUInt32BE(0);
  const little = magic === microseconds || magic === nanoseconds;
  if (!little && swapped !== microseconds && swapped !== nanoseconds) throw new Error('not a capture file');
  const u32 = (at: number): number => (little ? file.readUInt32LE(at) : file.readUInt32BE(at));
  const frames: Buffer[] = [];
  for (let at = 24; at + 16 <= file.length; ) {
    const length = u32(at + 8);
    if (length > frameBytesMax || at + 16 + length > file.length)
      throw new Error(`capture is cut off at ${at}`);
    frames.push(file.subarray(at + 16, at + 16 + length));
    at += 16 + length;
  }
  return { linkType: u32(20), frames };
}

export function writeCapture(frames: readonly Uint8Array[]): Buffer {
  const head = Buffer.alloc(24);
  head.writeUInt32LE(microseconds, 0);
  head.writeUInt16LE(2, 4); // format 2.4
  head.writeUInt16LE(4, 6);
  head.writeUInt32LE(frameBytesMax, 16);
  head.writeUInt32LE(1, 20);
  const records = frames.map((frame, index) => {
    const record = Buffer.alloc(16);
    // A microsecond apart, so that a player that minds the clock sends at once.
    record.writeUInt32LE(Math.floor(index / 1e6), 0);
    record.writeUInt32LE(index % 1e6, 4);
    record.writeUInt32LE(frame.length, 8);
    record.writeUInt32LE(frame.length, 12);
    return Buffer.concat([record, frame]);
  });
  return Buffer.concat([head, ...records]);
}

/** The frames as if sent to another card: captures carry the addresses of the place they were taken at. */
export function sentTo(mac: Uint8Array, frames: readonly Buffer[]): Buffer[] {
  return frames.map((frame) => Buffer.concat([mac, frame.subarray(6)]));
}
