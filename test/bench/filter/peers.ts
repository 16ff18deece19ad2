// What else filters packets, from Debian: nftables, iptables with and without ipset, xdp-filter. Each drops everything but
// what comes from `addresses`, on one interface, and is taken down again by the function that comes back.

import { execFileSync } from 'node:child_process';
import { addon } from '../../../native/index.ts';
import { addressBytes } from '../../lab/frame.ts';

export interface Listed {
  readonly interface: string;
  readonly family: 4 | 6;
  readonly addresses: readonly string[];
}
export type Undo = () => void;

function run(program: string, args: readonly string[], input = ''): void {
  execFileSync(program, args, { input, stdio: ['pipe', 'ignore', 'pipe'] });
}

/** Before anything of IP, where XDP's peers of the kernel's own are quickest. */
function nft(where: string, rules: readonly string[], set = ''): Undo {
  const chain = `chain c { type filter hook ingress device ${where} priority 0;\n${rules.join('\n')}\ndrop\n}`;
  run('nft', ['-f', '-'], `table netdev bench {\n${set}\n${chain}\n}\n`);
  return () => run('nft', ['delete', 'table', 'netdev', 'bench']);
}

const ipOf = (family: 4 | 6) => (family === 4 ? 'ip' : 'ip6');

export const nftDrop = ({ interface: where }: Pick<Listed, 'interface'>): Undo => nft(where, []);

export function nftRules({ interface: where, family, addresses }: Listed): Undo {
  return nft(
    where,
    addresses.map((one) => `${ipOf(family)} saddr ${one} accept`),
  );
}

export function nftSet({ interface: where, family, addresses }: Listed): Undo {
  const set = `set s { type ipv${family}_addr; elements = { ${addresses.join(', ')} } }`;
  return nft(where, [`${ipOf(family)} saddr @s accept`], set);
}

/** In the first chain that iptables has, before routing and connections. */
function iptables(family: 4 | 6, rules: readonly string[]): Undo {
  const program = `ip${family === 4 ? '' : '6'}tables-legacy`;
  const lines = ['*raw', ':PREROUTING ACCEPT', ...rules, '-A PREROUTING -j DROP', 'COMMIT', ''];
  run(`${program}-restore`, [], lines.join('\n'));
  return () => run(program, ['-t', 'raw', '-F', 'PREROUTING']);
}

export function iptablesRules({ family, addresses }: Listed): Undo {
  return iptables(
    family,
    addresses.map((one) => `-A PREROUTING -s ${one} -j ACCEPT`),
  );
}

export function ipset({ family, addresses }: Listed): Undo {
  const lines = addresses.map((one) => `add husk-bench ${one}`);
  const kind = `hash:ip family ${family === 4 ? 'inet' : 'inet6'} maxelem ${addresses.length}`;
  run('ipset', ['restore'], [`create husk-bench ${kind}`, ...lines, ''].join('\n'));
  const flush = iptables(family, ['-A PREROUTING -m set --match-set husk-bench src -j ACCEPT']);
  return () => {
    flush();
    run('ipset', ['destroy', 'husk-bench']);
  };
}

/** Where xdp-filter pins what it loads; it knows no other place. */
const bpffs = '/sys/fs/bpf';

/** Call it in a mount namespace of its own. `addresses`: 10,000 at most. */
export function xdpFilter({ interface: where, family, addresses }: Listed): Undo {
  run('mount', ['-t', 'bpf', 'bpf', bpffs]);
  const features = ['-f', 'ipv4,ipv6'];
  run('xdp-filter', ['load', where, '--mode', 'skb', '--policy', 'deny', ...features]);
  const [first, ...others] = addresses;
  // The program makes the first entry, so that the rest is known to be in its form.
  if (first !== undefined) run('xdp-filter', ['ip', first, '--mode', 'src']);
  const map = addon.openPinnedMap(`${bpffs}/xdp-filter/filter_ipv${family}`);
  try {
    const keyOf = (address: string) => new Uint8Array(addressBytes(address));
    const value = first === undefined ? null : addon.lookup(map, keyOf(first));
    if (first !== undefined && value === null) throw new Error('xdp-filter keeps its entries elsewhere');
    for (const one of value === null ? [] : others) addon.update(map, keyOf(one), value as Uint8Array);
  } finally {
    map.close();
  }
  return () => {
    run('xdp-filter', ['unload', where]);
    run('umount', [bpffs]);
  };
}
