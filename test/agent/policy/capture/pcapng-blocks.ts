// pcapng files made block by block, so that tests can have what no program at hand writes.

export interface BlockMaker {
  section(options?: Uint8Array): Uint8Array;
  interface(linkType: number, snapLength?: number, options?: Uint8Array): Uint8Array;
  enhanced(packet: PacketBlock, options?: Uint8Array): Uint8Array;
  simple(bytes: Uint8Array, original?: number): Uint8Array;
  obsolete(packet: PacketBlock, options?: Uint8Array): Uint8Array;
  block(type: number, ...body: readonly Uint8Array[]): Uint8Array;
  option(code: number, value: Uint8Array): Uint8Array;
  u16(value: number): Uint8Array;
  u32(value: number): Uint8Array;
  u64(value: bigint): Uint8Array;
}

export interface PacketBlock {
  readonly interface: number;
  readonly ticks: bigint;
  readonly bytes: Uint8Array;
  readonly original?: number;
}

export function blocks(byteOrder: 'little' | 'big'): BlockMaker {
  const little = byteOrder === 'little';
  const number = (size: number, write: (view: DataView) => void) => {
    const bytes = new Uint8Array(size);
    write(new DataView(bytes.buffer));
    return bytes;
  };
  const make: BlockMaker = {
    u16: (value) => number(2, (view) => view.setUint16(0, value, little)),
    u32: (value) => number(4, (view) => view.setUint32(0, value, little)),
    u64: (value) => number(8, (view) => view.setBigUint64(0, BigInt.asUintN(64, value), little)),
    option: (code, value) => padded(join(make.u16(code), make.u16(value.length), value)),
    block: (type, ...body) => {
      const inside = padded(join(...body));
      const length = make.u32(inside.length + 12);
      return join(make.u32(type), length, inside, length);
    },
    section: (options = new Uint8Array(0)) =>
      make.block(
        0x0a0d0d0a,
        make.u32(0x1a2b3c4d),
        make.u16(1),
        make.u16(0),
        make.u64(0xffff_ffff_ffff_ffffn),
        options,
      ),
    interface: (linkType, snapLength = 0, options = new Uint8Array(0)) =>
      make.block(1, make.u16(linkType), make.u16(0), make.u32(snapLength), options),
    enhanced: ({ interface: id, ticks, bytes, original }, options = new Uint8Array(0)) =>
      make.block(6, make.u32(id), ...packet(ticks, bytes, original), padded(bytes), options),
    simple: (bytes, original = bytes.length) => make.block(3, make.u32(original), bytes),
    obsolete: ({ interface: id, ticks, bytes, original }, options = new Uint8Array(0)) =>
      make.block(2, make.u16(id), make.u16(7), ...packet(ticks, bytes, original), padded(bytes), options),
  };
  const packet = (ticks: bigint, bytes: Uint8Array, original = bytes.length) => [
    make.u32(Number(ticks >> 32n)),
    make.u32(Number(ticks & 0xffff_ffffn)),
    make.u32(bytes.length),
    make.u32(original),
  ];
  return make;
}

export function join(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

const padded = (bytes: Uint8Array) => join(bytes, new Uint8Array(-bytes.length & 3));
