// Packet events alike within a window become one, with a count and the sum of their bytes.
//
// Alike: same rule, verdict, mode, reason, hook and serial, same interface, source, destination, protocol
// and destination port. Source port, TCP flags and time are those of the first.
//
// A flood is the ordinary case here, so the table is open addressing over typed arrays: no object per
// packet, a fixed size, and a hash with a seed, since senders choose what is hashed. When the table or a
// probe is full the packet is not recorded and the caller counts it: rule counters in the kernel still
// have it, and a flood of made-up sources cannot push older events out of the spool.

import { decodeHuskPacketEvent, HuskEvent, HuskPacketEvent } from '../../bpf/abi/layout.gen.ts';

export interface PacketAggregate {
  /** The first of those it stands for. */
  readonly first: HuskPacketEvent;
  readonly count: number;
  readonly bytes: number;
}

/** Aggregates of one window. 2,048 take about 350 KiB and, once in words, a third of the packet spool. */
export const packetAggregatesMax = 2048;

/** Words of a key: serial 2, rule, four bytes of the verdict, addresses 8, interface, ports and family, types. */
const keyWords = 15;
/** Slots looked at before a key counts as not fitting. At half load a run this long is a collision attack. */
const probesMax = 32;

const head = HuskEvent.offset;
const at = HuskPacketEvent.offset;

export class PacketAggregator {
  readonly #entriesMax: number;
  readonly #seed: number;
  readonly #slotMask: number;
  /** Index of an entry plus one, by slot; 0: free. */
  readonly #slots: Uint32Array;
  readonly #keys: Uint32Array;
  readonly #records: Uint8Array;
  readonly #recordView: DataView;
  readonly #counts: Float64Array;
  readonly #bytes: Float64Array;
  readonly #key = new Uint32Array(keyWords);
  #used = 0;

  /** `seed`: 32 random bits. */
  constructor(options: { readonly seed: number; readonly entriesMax?: number }) {
    this.#entriesMax = options.entriesMax ?? packetAggregatesMax;
    this.#seed = options.seed | 0;
    const slotCount = 2 ** Math.ceil(Math.log2(this.#entriesMax * 2));
    this.#slotMask = slotCount - 1;
    this.#slots = new Uint32Array(slotCount);
    this.#keys = new Uint32Array(this.#entriesMax * keyWords);
    this.#records = new Uint8Array(this.#entriesMax * HuskPacketEvent.size);
    this.#recordView = new DataView(this.#records.buffer);
    this.#counts = new Float64Array(this.#entriesMax);
    this.#bytes = new Float64Array(this.#entriesMax);
  }

  get size(): number {
    return this.#used;
  }

  /** Takes the decodable packet record at `from`; false where there is no room for it. */
  add(view: DataView, from: number): boolean {
    const hash = this.#readKey(view, from);
    const slot = this.#find(hash);
    if (slot < 0) return false;
    let entry = (this.#slots[slot] ?? 0) - 1;
    if (entry < 0) {
      if (this.#used === this.#entriesMax) return false;
      entry = this.#used++;
      this.#slots[slot] = entry + 1;
      this.#keys.set(this.#key, entry * keyWords);
      const record = new Uint8Array(view.buffer, view.byteOffset + from, HuskPacketEvent.size);
      this.#records.set(record, entry * HuskPacketEvent.size);
      this.#counts[entry] = 0;
      this.#bytes[entry] = 0;
    }
    this.#counts[entry] = (this.#counts[entry] ?? 0) + 1;
    this.#bytes[entry] = (this.#bytes[entry] ?? 0) + view.getUint32(from + at.length, true);
    return true;
  }

  /** Gives out what the window gathered, in the order of first appearance, and starts a new one. */
  drain(visit: (aggregate: PacketAggregate) => void): void {
    const used = this.#used;
    this.#used = 0;
    this.#slots.fill(0);
    for (let entry = 0; entry < used; entry++) {
      visit({
        first: decodeHuskPacketEvent(this.#recordView, entry * HuskPacketEvent.size),
        count: this.#counts[entry] ?? 0,
        bytes: this.#bytes[entry] ?? 0,
      });
    }
  }

  /** The slot of the key in `#key`, or a free one; -1 where the probe ran out. */
  #find(hash: number): number {
    const slots = this.#slots;
    const keys = this.#keys;
    const key = this.#key;
    let slot = hash & this.#slotMask;
    probing: for (let probe = 0; probe < probesMax; probe++, slot = (slot + 1) & this.#slotMask) {
      const entry = (slots[slot] ?? 0) - 1;
      if (entry < 0) return slot;
      const base = entry * keyWords;
      for (let word = 0; word < keyWords; word++) {
        if (keys[base + word] !== key[word]) continue probing;
      }
      return slot;
    }
    return -1;
  }

  /** Fills `#key` from the record and returns its hash (MurmurHash3's mixing, 32 bits). */
  #readKey(view: DataView, from: number): number {
    const key = this.#key;
    key[0] = view.getUint32(from + head.serial, true);
    key[1] = view.getUint32(from + head.serial + 4, true);
    key[2] = view.getUint32(from + head.rule, true);
    // hook, verdict, mode and reason lie side by side.
    key[3] = view.getUint32(from + head.hook, true);
    for (let word = 0; word < 4; word++) {
      key[4 + word] = view.getUint32(from + at.saddr + word * 4, true);
      key[8 + word] = view.getUint32(from + at.daddr + word * 4, true);
    }
    key[12] = view.getUint32(from + at.ifindex, true);
    key[13] = view.getUint16(from + at.dport, true) | (view.getUint8(from + at.family) << 16);
    key[14] = view.getUint16(from + at.etherType, true) | (view.getUint8(from + at.ipProto) << 16);

    let hash = this.#seed;
    for (let word = 0; word < keyWords; word++) {
      let k = Math.imul(key[word] ?? 0, 0xcc9e2d51);
      k = Math.imul((k << 15) | (k >>> 17), 0x1b873593);
      hash ^= k;
      hash = (Math.imul((hash << 13) | (hash >>> 19), 5) + 0xe6546b64) | 0;
    }
    hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
    hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
    return (hash ^ (hash >>> 16)) >>> 0;
  }
}
