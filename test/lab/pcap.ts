// Capture files as tests want them: whole, as buffers of frames.

import { writePcap } from '../../agent/policy/capture/pcap.ts';
import { readCapture as read } from '../../agent/policy/capture/read-capture.ts';

export interface Capture {
  /** 1: Ethernet. */
  readonly linkType: number;
  readonly frames: readonly Buffer[];
}

export function readCapture(file: Buffer): Capture {
  const { packets, fault } = read(file);
  if (fault !== null) throw fault;
  const frames = packets.map(({ bytes }) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  return { linkType: packets[0]?.linkType ?? 1, frames };
}

export function writeCapture(frames: readonly Uint8Array[]): Buffer {
  // A microsecond apart, so that a player that minds the clock sends at once.
  const packets = frames.map((bytes, index) => ({ timeNs: BigInt(index) * 1000n, bytes }));
  return Buffer.from(writePcap(packets, { linkType: 1, unit: 'microseconds' }));
}

/** The frames as if sent to another card: captures carry the addresses of the place they were taken at. */
export function sentTo(mac: Uint8Array, frames: readonly Buffer[]): Buffer[] {
  return frames.map((frame) => Buffer.concat([mac, frame.subarray(6)]));
}
