// Reads an answer that a program made, header by header, and adds up its checksums.

export interface ReadAnswer {
  /** Destination and source, hexadecimal. */
  readonly macs: readonly [string, string];
  /** EtherTypes of VLAN tags, from the outside in. */
  readonly tags: readonly number[];
  /** Hexadecimal. */
  readonly from: string;
  readonly to: string;
  readonly hopLimit: number;
  /** Of the IP header. */
  readonly headerBytes: number;
  readonly tcp?: {
    readonly ports: readonly [number, number];
    readonly flags: number;
    readonly sequence: number;
    readonly acknowledgement: number;
    /** Hexadecimal. */
    readonly options: string;
  };
  readonly icmp?: { readonly type: number; readonly code: number; readonly rest: number };
  readonly quote?: Buffer;
  /** Of which headers. */
  readonly wrongChecksums: readonly string[];
}

/** Throws where the frame is too short for what its headers say. */
export function readAnswer(frame: Buffer): ReadAnswer {
  const macs = [frame.toString('hex', 0, 6), frame.toString('hex', 6, 12)] as const;
  const tags: number[] = [];
  let at = 12;
  while ([0x8100, 0x88a8].includes(frame.readUInt16BE(at))) {
    tags.push(frame.readUInt16BE(at));
    at += 4;
  }
  const type = frame.readUInt16BE(at);
  const ip = frame.subarray(at + 2);
  if (type === 0x0800) return { macs, tags, ...readIpv4(ip) };
  if (type === 0x86dd) return { macs, tags, ...readIpv6(ip) };
  throw new Error(`EtherType ${type}`);
}

type Network = Omit<ReadAnswer, 'macs' | 'tags'>;

function readIpv4(ip: Buffer): Network {
  const headerBytes = (ip.readUInt8(0) & 15) * 4;
  const total = ip.readUInt16BE(2);
  if (ip.readUInt8(0) >> 4 !== 4 || total > ip.length)
    throw new Error(`total length ${total} of ${ip.length}`);
  const proto = ip.readUInt8(9);
  const payload = ip.subarray(headerBytes, total);
  const pseudo = proto === 1 ? [] : [...ip.subarray(12, 20), 0, proto, ...lengthOf(payload)];
  const rest = readTransport(proto === 1 ? 58 : proto, payload, Buffer.from(pseudo));
  const wrong = sum(ip.subarray(0, headerBytes)) === 0xffff ? [] : ['IPv4'];
  return {
    from: ip.toString('hex', 12, 16),
    to: ip.toString('hex', 16, 20),
    hopLimit: ip.readUInt8(8),
    headerBytes,
    ...rest,
    wrongChecksums: [...wrong, ...rest.wrongChecksums],
  };
}

function readIpv6(ip: Buffer): Network {
  const length = ip.readUInt16BE(4);
  if (ip.readUInt8(0) >> 4 !== 6 || 40 + length > ip.length)
    throw new Error(`payload ${length} of ${ip.length}`);
  const proto = ip.readUInt8(6);
  const payload = ip.subarray(40, 40 + length);
  const pseudo = Buffer.from([...ip.subarray(8, 40), 0, 0, ...lengthOf(payload), 0, 0, 0, proto]);
  return {
    from: ip.toString('hex', 8, 24),
    to: ip.toString('hex', 24, 40),
    hopLimit: ip.readUInt8(7),
    headerBytes: 40,
    ...readTransport(proto, payload, pseudo),
  };
}

function readTransport(
  proto: number,
  bytes: Buffer,
  pseudo: Buffer,
): Pick<ReadAnswer, 'tcp' | 'icmp' | 'quote' | 'wrongChecksums'> {
  const isRight = sum(Buffer.concat([pseudo, bytes])) === 0xffff;
  if (proto === 6) {
    const headerBytes = (bytes.readUInt8(12) >> 4) * 4;
    if (bytes.length !== headerBytes)
      throw new Error(`${bytes.length} bytes of TCP, its header ${headerBytes}`);
    return {
      tcp: {
        ports: [bytes.readUInt16BE(0), bytes.readUInt16BE(2)],
        flags: bytes.readUInt8(13),
        sequence: bytes.readUInt32BE(4),
        acknowledgement: bytes.readUInt32BE(8),
        options: bytes.toString('hex', 20),
      },
      wrongChecksums: isRight ? [] : ['TCP'],
    };
  }
  if (proto !== 58) throw new Error(`protocol ${proto}`);
  return {
    icmp: { type: bytes.readUInt8(0), code: bytes.readUInt8(1), rest: bytes.readUInt32BE(4) },
    quote: bytes.subarray(8),
    wrongChecksums: isRight ? [] : ['ICMP'],
  };
}

const lengthOf = ({ length }: Buffer): readonly [number, number] => [length >> 8, length & 255];

/** RFC 1071: 0xffff where the checksum that is in it is right. */
function sum(bytes: Buffer): number {
  let total = 0;
  for (let at = 0; at < bytes.length; at += 2) {
    total += bytes.readUInt8(at) * 256 + (at + 1 < bytes.length ? bytes.readUInt8(at + 1) : 0);
  }
  while (total > 0xffff) total = (total & 0xffff) + Math.floor(total / 65536);
  return total;
}
