// Matches of iptables by name, each with its options: what the kernel's xt_* modules look at, as boxes.
//
// An option pushes its condition: boxes of which one has to hold, or a text that says why it cannot be carried over.

import { dscpNames, tcpFlagBits } from '../numbers.ts';
import type { AddressRanges } from '../ranges.ts';
import { allDscp, allProtocols, type Box, bit, state, subtract } from './box.ts';
import {
  broadcastMac,
  hex,
  icmpOf,
  interfaces,
  laterFragments,
  multicast,
  notLater,
  protocolBox,
  protocolOf,
  rateOf,
  readAddresses,
} from './conditions.ts';
import type { RuleContext } from './iptables-rule.ts';
import { setCondition } from './iptables-sets.ts';
import { complementNumbers, type Numbers, unionNumbers } from './numbers.ts';
import type { LimitTerm } from './ruleset.ts';

/** A rule while it is read. */
export interface Draft {
  readonly context: RuleContext;
  readonly conditions: (readonly Box[] | string)[];
  readonly unknown: string[];
  limit: LimitTerm | null;
  /** The match that `-p` brings with it. */
  protocol: string | null;
}

export interface Option {
  /** Words behind its name. */
  readonly values: number;
  readonly read: (draft: Draft, values: readonly string[], not: boolean) => void;
}

type Options = Readonly<Record<string, Option>>;

const option = (read: (draft: Draft, value: string, not: boolean) => readonly Box[] | string): Option => ({
  values: 1,
  read: (draft, [value = ''], not) => void draft.conditions.push(read(draft, value, not)),
});
const ignored = (values: number): Option => ({ values, read: () => {} });
/** Said of the match by its name alone. */
const enter = (read: (draft: Draft) => void): Option => ({ values: 0, read });

const addressOption = (side: 'from' | 'to') =>
  option((_, value, not) => {
    const texts: AddressRanges[] = [];
    for (const one of value.split(',')) {
      const ranges = readAddresses(one);
      if (typeof ranges === 'string') return ranges;
      texts.push(ranges);
    }
    const [first] = texts;
    if (texts.length !== 1 || first === undefined)
      return 'several addresses in one rule: iptables-save writes one for each';
    return [{ [side]: [{ name: null, ranges: first, not }] }];
  });

const interfaceOption = (side: 'inBy' | 'outBy') =>
  option((_, value, not) =>
    // To iptables a star is a letter like any other, so that `eth*` fits no usual interface.
    value.includes('*')
      ? `no zone can name interface "${value}"`
      : interfaces(side, [value.replace(/\+$/, '*')], not),
  );

const protocolOption = option((draft, value, not) => {
  const number = value === 'all' ? 0 : protocolOf(value);
  if (number === null) return `protocol "${value}" is not known here`;
  if (number === 0) return not ? [] : [{}];
  if (!not) draft.protocol = { 6: 'tcp', 17: 'udp', 132: 'sctp', 1: 'icmp', 58: 'icmp6' }[number] ?? null;
  return not ? [{ protocols: allProtocols & ~bit(number) }] : [protocolBox(number)];
});

/** `80`, `80:90`, `:90`, `80:` */
function portRange(text: string): Numbers | null {
  const parts = /^(\d{0,5})(?:(:)(\d{0,5}))?$/.exec(text);
  if (parts === null || text === '') return null;
  const first = parts[1] === '' ? 0 : Number(parts[1]);
  const last = parts[2] === undefined ? first : parts[3] === '' ? 65535 : Number(parts[3]);
  return first <= last && last <= 65535 ? [{ first, last }] : null;
}

const portOption = (side: 'fromPorts' | 'toPorts') =>
  option((_, value, not) => {
    const ports = portRange(value);
    if (ports === null) return `"${value}" is no port`;
    return numbersCondition(side, ports, not);
  });

function numbersCondition(
  key: 'fromPorts' | 'toPorts' | 'length' | 'icmp',
  numbers: Numbers,
  not: boolean,
): readonly Box[] {
  const asked = not ? complementNumbers(numbers) : numbers;
  return asked.length === 0 ? [] : [{ [key]: asked }];
}

function portList(text: string): Numbers | null {
  const ranges = text.split(',').map(portRange);
  return ranges.some((one) => one === null) ? null : unionNumbers(ranges.flatMap((one) => one ?? []));
}

const multiport = (sides: readonly ('fromPorts' | 'toPorts')[]) =>
  option((_, value, not) => {
    const ports = portList(value);
    if (ports === null) return `"${value}" are no ports`;
    const [only, ...more] = sides;
    if (only !== undefined && more.length === 0) return numbersCondition(only, ports, not);
    const others = complementNumbers(ports);
    if (not) return others.length === 0 ? [] : [{ fromPorts: others, toPorts: others }];
    const second = others.length === 0 ? [] : [{ fromPorts: others, toPorts: ports }];
    return [{ fromPorts: ports }, ...second];
  });

const flagNames: Readonly<Record<string, number>> = {
  ...Object.fromEntries(Object.entries(tcpFlagBits).map(([name, bits]) => [name.toUpperCase(), bits])),
  ALL: 0x3f,
  NONE: 0,
};

function flagsOf(text: string): number | null {
  let bits = 0;
  for (const name of text.split(',')) {
    if (!Object.hasOwn(flagNames, name)) return null;
    bits |= flagNames[name] ?? 0;
  }
  return bits;
}

function flagCondition(draft: Draft, mask: number | null, set: number | null, not: boolean): void {
  if (mask === null || set === null) {
    draft.conditions.push('flags of TCP that are not known here');
    return;
  }
  const impossible = (set & ~mask) !== 0;
  const unset = mask & ~set;
  const asked: Box = {
    ...protocolBox(6),
    ...(set === 0 ? {} : { flagsSet: set }),
    ...(unset === 0 ? {} : { flagsUnset: unset }),
  };
  const withHeader: Box = { ...protocolBox(6), header: true };
  if (impossible) draft.conditions.push(not ? [withHeader] : []);
  else if (not) draft.conditions.push(mask === 0 ? [] : (subtract(withHeader, asked) ?? 'flags of TCP'));
  else draft.conditions.push([mask === 0 ? withHeader : asked]);
}

const header = (number: number) =>
  enter((draft) => void draft.conditions.push([{ ...protocolBox(number), header: true }]));

const ports: Options = {
  '--sport': portOption('fromPorts'),
  '--source-port': portOption('fromPorts'),
  '--dport': portOption('toPorts'),
  '--destination-port': portOption('toPorts'),
};

const icmp = (family: 4 | 6): Option =>
  option((draft, value, not) => {
    if (value === 'any' || (family === 4 && value === '255')) return not ? [] : [{}];
    const read = icmpOf(value, family);
    if (read === null || draft.context.family !== family) return `ICMP type "${value}" is not known here`;
    const [type, code] = read;
    const numbers = [{ first: type * 256 + (code ?? 0), last: type * 256 + (code ?? 255) }];
    return numbersCondition('icmp', numbers, not);
  });

const stateBits: Readonly<Record<string, number>> = {
  NEW: state.new,
  ESTABLISHED: state.established,
  RELATED: state.related,
  INVALID: state.invalid,
  // Nothing is left out of following connections here.
  UNTRACKED: 0,
};

const untracked = 'state UNTRACKED of a connection: nothing is left out of following here';

const states = option((_, value, not) => {
  let bits = 0;
  for (const name of value.split(',')) {
    if (!Object.hasOwn(stateBits, name)) return `state ${name} of a connection`;
    bits |= stateBits[name] ?? 0;
  }
  const asked = not ? 15 & ~bits : bits;
  if (bits === 0 && !not) return untracked;
  return asked === 0 ? [] : [{ states: asked }];
});

/** `5/min`, `10/sec`; of bytes there are none here. */
function setLimit(draft: Draft, value: string, change: (rate: string) => Partial<LimitTerm>): void {
  const parts = /^(\d+)\/([a-z]+)$/.exec(value);
  const rate = rateOf(parts?.[1] ?? '', parts?.[2] ?? '');
  if (rate === null) draft.unknown.push(`a rate of ${value}`);
  else draft.limit = { ...(draft.limit ?? noLimit), rate, ...change(rate) };
}

/** 5 is iptables' own burst. */
const noLimit: LimitTerm = { rate: '', burst: 5, per: 'rule', isAbove: false };

const burst: Option = {
  values: 1,
  read: (draft, [value = '']) => {
    if (!/^[1-9]\d{0,5}$/.test(value)) draft.unknown.push(`a burst of ${value}`);
    else draft.limit = { ...(draft.limit ?? noLimit), burst: Number(value) };
  },
};

const rate = (isAbove: boolean): Option => ({
  values: 1,
  read: (draft, [value = ''], not) => setLimit(draft, value, () => ({ isAbove: isAbove !== not })),
});

const once = (draft: Draft) => {
  if (draft.limit !== null) draft.unknown.push('two limits in one rule');
};

const hashlimitMode: Option = {
  values: 1,
  read: (draft, [value = '']) => {
    const parts = value.split(',').toSorted().join();
    if (parts === 'srcip')
      draft.limit = {
        ...(draft.limit ?? noLimit),
        per: 'source',
        prefix: draft.limit?.prefix ?? prefixOf(draft, null),
      };
    else if (parts === 'dstip,dstport,srcip,srcport')
      draft.limit = { ...(draft.limit ?? noLimit), per: 'flow' };
    else draft.unknown.push(`a rate for each ${value}`);
  },
};

const prefixOf = ({ context }: Draft, length: number | null) =>
  context.family === 4 ? { ipv4: length ?? 32 } : { ipv6: length ?? 128 };

const hashlimitMask: Option = {
  values: 1,
  read: (draft, [value = '']) => {
    const length = /^\d{1,3}$/.test(value) ? Number(value) : 999;
    if (length > (draft.context.family === 4 ? 32 : 128)) draft.unknown.push(`a mask of ${value}`);
    else draft.limit = { ...(draft.limit ?? noLimit), prefix: prefixOf(draft, length) };
  },
};

const hashlimitName: Option = {
  values: 1,
  read: (draft, [value = '']) => {
    if ((draft.context.hashlimits.get(value) ?? 0) > 1)
      draft.unknown.push(`hashlimit "${value}" counts for several rules together`);
  },
};

const range = (side: 'from' | 'to') =>
  option((_, value, not) => {
    const text = value.includes('-') ? value : `${value}-${value}`;
    const ranges = readAddresses(text);
    return typeof ranges === 'string' ? ranges : [{ [side]: [{ name: null, ranges, not }] }];
  });

const dscp = (numberOf: (value: string) => number | null) =>
  option((_, value, not) => {
    const number = numberOf(value);
    if (number === null || number > 63) return `code point "${value}" is not known here`;
    return [{ dscp: not ? allDscp & ~bit(number) : bit(number) }];
  });

const dstType = option((_, value, not) => {
  if (value === 'LOCAL') return [{ local: !not }];
  if (value === 'MULTICAST') return [{ to: [{ name: null, ranges: multicast, not }] }];
  // Of BROADCAST too: it is about addresses of the device's networks, and not about how a packet came.
  return `a destination of type ${value}`;
});

const packetType = option((draft, value, not) => {
  if (value === 'broadcast' && !not) return [{ macTo: [{ macs: [broadcastMac], not: false }] }];
  const { ipv4, ipv6 } = multicast;
  const groups =
    draft.context.family === 4 ? { ipv4, ipv6: ipv6.subarray(0, 0) } : { ipv4: ipv4.subarray(0, 0), ipv6 };
  if (value === 'multicast') return [{ to: [{ name: null, ranges: groups, not }] }];
  return `packets of type ${value}`;
});

const lengths = option((_, value, not) => {
  const numbers = portRange(value);
  return numbers === null ? `"${value}" is no length` : numbersCondition('length', numbers, not);
});

const macSource = option((_, value, not) =>
  /^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}$/.test(value)
    ? [{ macFrom: [{ macs: [value.toLowerCase()], not }] }]
    : `"${value}" is no MAC address`,
);

const fragments: Option = {
  values: 0,
  read: (draft, _, not) => void draft.conditions.push(not ? [notLater] : [laterFragments]),
};

const tcp: Options = {
  enter: header(6),
  ...ports,
  '--tcp-flags': {
    values: 2,
    read: (draft, [mask = '', set = ''], not) => flagCondition(draft, flagsOf(mask), flagsOf(set), not),
  },
  '--syn': {
    values: 0,
    read: (draft, _, not) => flagCondition(draft, flagsOf('FIN,SYN,RST,ACK'), flagsOf('SYN'), not),
  },
};

export const matches: Readonly<Record<string, Options>> = {
  ip: {
    '-s': addressOption('from'),
    '--source': addressOption('from'),
    '-d': addressOption('to'),
    '--destination': addressOption('to'),
    '-i': interfaceOption('inBy'),
    '--in-interface': interfaceOption('inBy'),
    '-o': interfaceOption('outBy'),
    '--out-interface': interfaceOption('outBy'),
    '-p': protocolOption,
    '--protocol': protocolOption,
    '-f': fragments,
    '--fragment': fragments,
    '-c': ignored(2),
  },
  tcp,
  udp: { enter: header(17), ...ports },
  sctp: { enter: header(132), ...ports },
  icmp: { enter: header(1), '--icmp-type': icmp(4) },
  icmp6: { enter: header(58), '--icmpv6-type': icmp(6) },
  multiport: {
    '--sports': multiport(['fromPorts']),
    '--source-ports': multiport(['fromPorts']),
    '--dports': multiport(['toPorts']),
    '--destination-ports': multiport(['toPorts']),
    '--ports': multiport(['fromPorts', 'toPorts']),
  },
  iprange: { '--src-range': range('from'), '--dst-range': range('to') },
  state: { '--state': states },
  conntrack: { '--ctstate': states },
  comment: { '--comment': ignored(1) },
  limit: {
    enter: enter((draft) => {
      once(draft);
      // What holds where no --limit is said; iptables-save says it, people do not.
      draft.limit = { ...noLimit, rate: '3/h' };
    }),
    '--limit': rate(false),
    '--limit-burst': burst,
  },
  hashlimit: {
    enter: enter(once),
    '--hashlimit': rate(false),
    '--hashlimit-upto': rate(false),
    '--hashlimit-above': rate(true),
    '--hashlimit-burst': burst,
    '--hashlimit-mode': hashlimitMode,
    '--hashlimit-srcmask': hashlimitMask,
    '--hashlimit-name': hashlimitName,
    '--hashlimit-htable-size': ignored(1),
    '--hashlimit-htable-max': ignored(1),
    '--hashlimit-htable-expire': ignored(1),
    '--hashlimit-htable-gcinterval': ignored(1),
  },
  mac: { '--mac-source': macSource },
  length: { '--length': lengths },
  dscp: {
    '--dscp': dscp(hex),
    '--dscp-class': dscp((name) =>
      Object.hasOwn(dscpNames, name.toLowerCase()) ? (dscpNames[name.toLowerCase()] ?? null) : null,
    ),
  },
  pkttype: { '--pkt-type': packetType },
  addrtype: { '--dst-type': dstType },
  set: {
    '--match-set': {
      values: 2,
      read: (draft, [name = '', sides = ''], not) =>
        void draft.conditions.push(setCondition(draft.context, name, sides, not)),
    },
  },
};
