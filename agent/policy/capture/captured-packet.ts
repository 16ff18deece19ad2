// What a capture holds of one packet, whatever the format of its file, and what is wrong with a file.

export interface CapturedPacket {
  /** Counts from 0 over the whole file. */
  readonly index: number;
  /** Nanoseconds since 1970-01-01 UTC; null where the file has none (a Simple Packet Block). */
  readonly timeNs: bigint | null;
  /** LINKTYPE_ number (draft-ietf-opsawg-pcaplinktype); one of those in link-types.ts. */
  readonly linkType: number;
  /** What was captured, from the link's header on. */
  readonly bytes: Uint8Array;
  /** As the packet was on the wire; never less than what was captured. */
  readonly originalLength: number;
  /** pcapng's if_name; null where the file names no interface. */
  readonly interface: string | null;
  /** Inbound or outbound as the capturing program saw it; null where the file does not say. */
  readonly direction: 'ingress' | 'egress' | null;
}

/**
 * Of any packet in a file: what libpcap writes at the most. A length above it is a damaged or a lying file, and
 * believing it would be memory for the asking.
 */
export const packetBytesMax = 262_144;

export type CaptureFault =
  /** No capture, a version we do not read, or a file that contradicts itself. */
  | 'malformed'
  /** It ends in the middle of something. */
  | 'cut-off'
  /** A link we cannot judge packets of. */
  | 'link-type'
  /** Longer than what is taken as a whole. */
  | 'too-long';

/** What readers throw, and nothing else. Packets given before it stand. */
export class CaptureError extends Error {
  override readonly name = 'CaptureError';
  readonly kind: CaptureFault;
  /** Where in the file, bytes. */
  readonly offset: number;
  constructor(kind: CaptureFault, offset: number, what: string) {
    super(`at byte ${offset}: ${what}`);
    this.kind = kind;
    this.offset = offset;
  }
}
