// What an expression of nft looks at, and how its values become boxes.
//
// A payload expression brings its protocol with it (`tcp dport` asks for TCP, `ip saddr` for IPv4); the listing
// leaves those conditions out, so they are added here.

import { dscpNames, tcpFlagBits } from '../numbers.ts';
import { type AddressRanges, rangesFrom } from '../ranges.ts';
import { allProtocols, type Box, bit, conjoin, fragment, state, subtract } from './box.ts';
import {
  broadcastMac,
  hex,
  icmpOf,
  interfaces,
  multicast,
  protocolBox,
  protocolOf,
  type Read,
} from './conditions.ts';
import { complementNumbers, type Numbers, unionNumbers } from './numbers.ts';

/** One value of a listing: text, number, `{prefix}` or `{range}`. */
export type Value = unknown;

export interface Field {
  /** What the expression asks for beside its values. */
  readonly needs: Box;
  /** One of the values; `name`: of the set they stand in. */
  readonly among: (values: readonly Value[], not: boolean, name: string | null) => Read;
  /** Bits: any of them (`in`). Absent: no bits. */
  readonly anyBit?: (value: Value) => Read;
  /** Under a mask. */
  readonly masked?: (mask: Value, value: Value, not: boolean) => Read;
  /** For `<` and the like; absent: has no order. */
  readonly compare?: (op: string, value: Value) => Read;
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

export const shownJson = (value: unknown): string => {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > 120 ? `${text.slice(0, 120)}…` : text;
};

/** The field of an expression, or why there is none. */
export function fieldOf(expression: unknown): Field | string {
  if (!isObject(expression)) return `${shownJson(expression)} cannot be carried over`;
  const { payload, meta, ct, fib } = expression;
  if (isObject(payload)) {
    const name = `${String(payload.protocol)} ${String(payload.field)}`;
    const field = Object.hasOwn(payloads, name) ? payloads[name] : undefined;
    return field ?? `${payload.protocol === undefined ? shownJson(payload) : name} cannot be carried over`;
  }
  if (isObject(meta)) {
    const key = String(meta.key);
    return (Object.hasOwn(metas, key) ? metas[key] : undefined) ?? `meta ${key} cannot be carried over`;
  }
  if (isObject(ct))
    return ct.key === 'state' && ct.dir === undefined
      ? states
      : `ct ${String(ct.key)} cannot be carried over`;
  if (isObject(fib)) {
    const isPlain =
      fib.result === 'type' && Array.isArray(fib.flags) && fib.flags.length === 1 && fib.flags[0] === 'daddr';
    return isPlain ? fibType : `${shownJson(expression)} cannot be carried over`;
  }
  return `${shownJson(expression)} cannot be carried over`;
}

type Key = 'fromPorts' | 'toPorts' | 'length' | 'icmp' | 'vlan';

/** A number in some range; `spread` turns what is written into what the box holds. */
function numeric(
  key: Key,
  needs: Box,
  wordOf: (word: string) => number | null = () => null,
  spread: (numbers: Numbers) => Numbers = (numbers) => numbers,
  max = 65535,
): Field {
  const read = (value: Value): number | null => {
    const number =
      typeof value === 'number' ? value : typeof value === 'string' ? (hex(value) ?? wordOf(value)) : null;
    return number !== null && Number.isInteger(number) && number >= 0 && number <= max ? number : null;
  };
  const boxOf = (numbers: Numbers): readonly Box[] => {
    const spreadOut = spread(numbers);
    return spreadOut.length === 0 ? [] : [{ ...needs, [key]: spreadOut }];
  };
  const among: Field['among'] = (values, not) => {
    const ranges: { first: number; last: number }[] = [];
    for (const value of values) {
      const ends =
        isObject(value) && Array.isArray(value.range) ? value.range.map(read) : [read(value), read(value)];
      const [first, last] = ends;
      if (ends.length !== 2 || typeof first !== 'number' || typeof last !== 'number' || first > last)
        return `value ${shownJson(value)}`;
      ranges.push({ first, last });
    }
    const asked = unionNumbers(ranges);
    return boxOf(not ? upTo(complementNumbers(asked), max) : asked);
  };
  return {
    needs,
    among,
    compare: (op, value) => {
      const number = read(value);
      if (number === null) return `value ${shownJson(value)}`;
      const range = {
        '<': { first: 0, last: number - 1 },
        '<=': { first: 0, last: number },
        '>': { first: number + 1, last: max },
        '>=': { first: number, last: max },
      }[op];
      if (range === undefined) return `operator ${op}`;
      return range.first > range.last ? [] : boxOf([range]);
    },
  };
}

const upTo = (numbers: Numbers, max: number): Numbers =>
  numbers.flatMap(({ first, last }) => (first > max ? [] : [{ first, last: Math.min(last, max) }]));

const wholeTypes = (numbers: Numbers): Numbers =>
  unionNumbers(numbers.map(({ first, last }) => ({ first: first * 256, last: last * 256 + 255 })));
const everyType = (numbers: Numbers): Numbers =>
  unionNumbers(
    numbers.flatMap(({ first, last }) =>
      Array.from({ length: 256 }, (_, type) => ({ first: type * 256 + first, last: type * 256 + last })),
    ),
  );
const icmpCodes: Readonly<Record<string, number>> = {
  'net-unreachable': 0,
  'host-unreachable': 1,
  'prot-unreachable': 2,
  'port-unreachable': 3,
  'frag-needed': 4,
  'net-prohibited': 9,
  'host-prohibited': 10,
  'admin-prohibited': 13,
};
const icmp6Codes: Readonly<Record<string, number>> = {
  'no-route': 0,
  'admin-prohibited': 1,
  'addr-unreachable': 3,
  'port-unreachable': 4,
  'policy-fail': 5,
  'reject-route': 6,
};
const wordIn = (words: Readonly<Record<string, number>>) => (word: string) =>
  Object.hasOwn(words, word) ? (words[word] ?? null) : null;

function addresses(side: 'from' | 'to', family: 4 | 6): Field {
  const needs: Box = { family };
  return {
    needs,
    among: (values, not, name) => {
      const ranges = addressRanges(values, family);
      if (typeof ranges === 'string') return ranges;
      return [{ ...needs, [side]: [{ name, ranges, not }] }];
    },
  };
}

/** Values as addresses of one family. */
function addressRanges(values: readonly Value[], family: 4 | 6): AddressRanges | string {
  const texts: string[] = [];
  for (const value of values) {
    const text = addressText(value);
    if (text === null || text.includes(':') !== (family === 6)) return `value ${shownJson(value)}`;
    texts.push(text);
  }
  let wrong: string | null = null;
  const ranges = rangesFrom(texts, (index, message) => {
    wrong ??= `value "${texts[index]}" ${message}`;
  });
  return wrong ?? ranges;
}

function addressText(value: Value): string | null {
  if (typeof value === 'string') return value;
  if (!isObject(value)) return null;
  const { prefix, range } = value;
  if (isObject(prefix) && typeof prefix.addr === 'string' && typeof prefix.len === 'number')
    return `${prefix.addr}/${prefix.len}`;
  if (Array.isArray(range) && typeof range[0] === 'string' && typeof range[1] === 'string')
    return `${range[0]}-${range[1]}`;
  return null;
}

/** One of a few values, each a bit. */
function bits(
  needs: Box,
  bitOf: (value: Value) => Box | null,
  all: (wanted: readonly Box[], not: boolean) => Read,
): Field {
  return {
    needs,
    among: (values, not) => {
      const wanted: Box[] = [];
      for (const value of values) {
        const one = bitOf(value);
        if (one === null) return `value ${shownJson(value)}`;
        wanted.push(one);
      }
      return all(wanted, not);
    },
  };
}

const orBits = (boxes: readonly Box[], key: 'protocols' | 'dscp') =>
  boxes.reduce((sum, box) => sum | (box[key] ?? 0n), 0n);

function protocol(needs: Box): Field {
  const numberOf = (value: Value): number | null =>
    typeof value === 'number' || typeof value === 'string' ? protocolOf(String(value)) : null;
  return bits(
    needs,
    (value) => {
      const ends =
        isObject(value) && Array.isArray(value.range)
          ? value.range.map(numberOf)
          : [numberOf(value), numberOf(value)];
      const [first, last] = ends;
      if (typeof first !== 'number' || typeof last !== 'number') return null;
      let sum = 0n;
      for (let number = first; number <= last; number++) sum |= bit(number);
      return { protocols: sum };
    },
    (wanted, not) => {
      const asked = orBits(wanted, 'protocols');
      const set = not ? allProtocols & ~asked : asked;
      return set === 0n ? [] : [{ ...needs, protocols: set }];
    },
  );
}

function dscp(family: 4 | 6): Field {
  return bits(
    { family },
    (value) => {
      const number =
        typeof value === 'number'
          ? value
          : typeof value === 'string'
            ? (hex(value) ?? wordIn(dscpNames)(value))
            : null;
      return number !== null && number >= 0 && number <= 63 ? { dscp: bit(number) } : null;
    },
    (wanted, not) => {
      const asked = orBits(wanted, 'dscp');
      const set = not ? ((1n << 64n) - 1n) & ~asked : asked;
      return set === 0n ? [] : [{ family, dscp: set }];
    },
  );
}

const families: Readonly<Record<string, 4 | 6>> = { ipv4: 4, ip: 4, ipv6: 6, ip6: 6 };
const family: Field = {
  needs: {},
  among: (values, not) => {
    const named = values.map((value) =>
      Object.hasOwn(families, String(value)) ? families[String(value)] : undefined,
    );
    if (named.some((one) => one === undefined)) return `value ${shownJson(values)}`;
    return ([4, 6] as const).filter((one) => named.includes(one) !== not).map((one) => ({ family: one }));
  },
};

const stateNames: Readonly<Record<string, number>> = { ...state, untracked: 0 };

/** Names, alone or several as bits. */
function stateBits(value: Value): number | null {
  if (typeof value === 'string') return Object.hasOwn(stateNames, value) ? (stateNames[value] ?? null) : null;
  const list = Array.isArray(value)
    ? value
    : isObject(value) && Array.isArray(value['|'])
      ? value['|']
      : null;
  if (list === null || list.length > 16) return null;
  const each = list.map((one) => (typeof one === 'string' ? stateBits(one) : null));
  return each.some((one) => one === null) ? null : each.reduce<number>((sum, one) => sum | (one ?? 0), 0);
}

const untracked = 'state untracked of a connection: nothing is left out of following here';
const stateBox = (asked: number): readonly Box[] => (asked === 0 ? [] : [{ states: asked }]);
const states: Field = {
  needs: {},
  among: (values, not) => {
    let asked = 0;
    for (const value of values) {
      const one = typeof value === 'string' ? stateBits(value) : null;
      if (one === null) return `state ${shownJson(value)}`;
      asked |= one;
    }
    if (asked === 0 && !not) return untracked;
    return stateBox(not ? 15 & ~asked : asked);
  },
  anyBit: (value) => {
    const asked = stateBits(value);
    if (asked === null) return `state ${shownJson(value)}`;
    return asked === 0 ? untracked : stateBox(asked);
  },
};

function interfaceField(side: 'inBy' | 'outBy'): Field {
  return {
    needs: {},
    among: (values, not) => {
      if (!values.every((value) => typeof value === 'string')) return `interface ${shownJson(values)}`;
      // A star that is part of the name, as nft writes it.
      if (values.some((value) => String(value).endsWith('\\*')))
        return `no zone can name interface ${shownJson(values)}`;
      return interfaces(side, values as readonly string[], not);
    },
  };
}

function mac(side: 'macFrom' | 'macTo'): Field {
  return {
    needs: {},
    among: (values, not) => {
      const macs = values.filter(
        (value): value is string =>
          typeof value === 'string' && /^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}$/.test(value),
      );
      if (macs.length !== values.length) return `MAC address ${shownJson(values)}`;
      return [{ [side]: [{ macs: macs.map((one) => one.toLowerCase()), not }] }];
    },
  };
}

const groups = { name: null, ranges: multicast, not: false } as const;
const broadcast: Box = { macTo: [{ macs: [broadcastMac], not: false }], to: [{ ...groups, not: true }] };

const packetType: Field = {
  needs: {},
  among: (values, not) => {
    const names = new Set(values);
    const isKnown = [...names].every((name) => name === 'broadcast' || name === 'multicast');
    if (!isKnown || (not && names.has('broadcast'))) return `packets of type ${shownJson(values)}`;
    if (not) return [{ to: [{ ...groups, not: true }] }];
    return [
      ...(names.has('multicast') ? [{ to: [groups] }] : []),
      ...(names.has('broadcast') ? [broadcast] : []),
    ];
  },
};

const fibType: Field = {
  needs: {},
  among: (values, not) => {
    const [value] = values;
    if (values.length !== 1) return `addresses of types ${shownJson(values)}`;
    if (value === 'local') return [{ local: !not }];
    if (value === 'multicast') return [{ to: [{ ...groups, not }] }];
    // Of broadcast too: it is about addresses of the device's networks, and not about how a packet came.
    return `addresses of type ${shownJson(value)}`;
  },
};

const flagNames: Readonly<Record<string, number>> = { ...tcpFlagBits, ecn: tcpFlagBits.ece };

function flagBits(value: Value): number | null {
  if (typeof value === 'number') return value >= 0 && value <= 255 && Number.isInteger(value) ? value : null;
  if (typeof value === 'string') return hex(value) ?? wordIn(flagNames)(value);
  const list = Array.isArray(value)
    ? value
    : isObject(value) && Array.isArray(value['|'])
      ? value['|']
      : null;
  if (list === null || list.length > 16) return null;
  const each = list.map((one) => (typeof one === 'string' || typeof one === 'number' ? flagBits(one) : null));
  return each.some((one) => one === null) ? null : each.reduce<number>((sum, one) => sum | (one ?? 0), 0);
}

const tcpHeader: Box = { ...protocolBox(6), header: true };
const flagBox = (mask: number, set: number): Box => ({
  ...tcpHeader,
  ...(set === 0 ? {} : { flagsSet: set }),
  ...((mask & ~set) === 0 ? {} : { flagsUnset: mask & ~set }),
});

const flags: Field = {
  needs: tcpHeader,
  among: (values, not) => {
    const all = values.map(flagBits);
    if (all.some((one) => one === null)) return `flags ${shownJson(values)}`;
    const boxes = [...new Set(all)].map((one) => flagBox(0xff, one ?? 0));
    return not ? outside(boxes) : boxes;
  },
  anyBit: (value) => {
    const asked = flagBits(value);
    if (asked === null) return `flags ${shownJson(value)}`;
    return asked === 0 ? [] : outside([flagBox(asked, 0)]);
  },
  masked: (mask, value, not) => {
    const [under, set] = [flagBits(mask), flagBits(value)];
    if (under === null || set === null) return `flags ${shownJson([mask, value])}`;
    if ((set & ~under) !== 0) return not ? [tcpHeader] : [];
    return not ? outside([flagBox(under, set)]) : [flagBox(under, set)];
  },
};

/** TCP headers that are in none of the boxes. */
function outside(boxes: readonly Box[]): Read {
  let left: readonly Box[] = [tcpHeader];
  for (const one of boxes) {
    const next = left.flatMap((box) => (conjoin(box, one) === null ? [box] : (subtract(box, one) ?? [])));
    if (next.length > 64) return 'too many combinations of flags';
    left = next;
  }
  return left;
}

/** 13 bits of offset and the flag that more follow, of an IPv4 header. */
const fragmentOffset: Field = {
  needs: { family: 4 },
  among: () => 'the offset of a fragment as a number',
  masked: (mask, value, not) => {
    if (value !== 0 || (mask !== 0x1fff && mask !== 0x3fff)) return `fragments under ${shownJson(mask)}`;
    const inside = mask === 0x1fff ? fragment.later : fragment.first | fragment.later;
    return [{ family: 4, fragments: not ? inside : 7 & ~inside }];
  },
};

const portsOf = (needs: Box) => [numeric('fromPorts', needs), numeric('toPorts', needs)] as const;
const protocolPorts = Object.fromEntries(
  (
    [
      ['tcp', protocolBox(6)],
      ['udp', protocolBox(17)],
      ['sctp', protocolBox(132)],
      ['udplite', protocolBox(136)],
      ['th', {}],
    ] as const
  ).flatMap(([name, needs]) => {
    const [from, to] = portsOf(needs);
    return [
      [`${name} sport`, from],
      [`${name} dport`, to],
    ] as const;
  }),
);

const icmp4: Box = { family: 4, ...protocolBox(1) };
const icmp6: Box = { family: 6, ...protocolBox(58) };
const typeWord = (of: 4 | 6) => (word: string) => icmpOf(word, of)?.[0] ?? null;

const payloads: Readonly<Record<string, Field>> = {
  ...protocolPorts,
  'ip saddr': addresses('from', 4),
  'ip daddr': addresses('to', 4),
  'ip6 saddr': addresses('from', 6),
  'ip6 daddr': addresses('to', 6),
  'ip protocol': protocol({ family: 4 }),
  'ip dscp': dscp(4),
  'ip6 dscp': dscp(6),
  'ip length': numeric('length', { family: 4 }),
  'ip6 length': numeric('length', { family: 6 }, undefined, (numbers) =>
    upTo(
      numbers.map(({ first, last }) => ({ first: first + 40, last: last + 40 })),
      65535,
    ),
  ),
  'ip frag-off': fragmentOffset,
  'tcp flags': flags,
  'icmp type': numeric('icmp', icmp4, typeWord(4), wholeTypes, 255),
  'icmp code': numeric('icmp', icmp4, wordIn(icmpCodes), everyType, 255),
  'icmpv6 type': numeric('icmp', icmp6, typeWord(6), wholeTypes, 255),
  'icmpv6 code': numeric('icmp', icmp6, wordIn(icmp6Codes), everyType, 255),
  'ether saddr': mac('macFrom'),
  'ether daddr': mac('macTo'),
  // 4095 is no VLAN (IEEE 802.1Q), and a policy has no word for it.
  'vlan id': numeric('vlan', {}, undefined, undefined, 4094),
};

const metas: Readonly<Record<string, Field>> = {
  iifname: interfaceField('inBy'),
  iif: interfaceField('inBy'),
  oifname: interfaceField('outBy'),
  oif: interfaceField('outBy'),
  l4proto: protocol({}),
  nfproto: family,
  protocol: family,
  length: numeric('length', {}),
  pkttype: packetType,
};
