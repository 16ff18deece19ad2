// The section `device` of a case: what judging needs to know of the device that no policy says.
//
//   interfaces:
//     - { name: wan0, addresses: [192.0.2.1/24] }
//     - { name: wan0.7, over: { vlan: 7, parent: wan0 } }
//     - { name: ppp0, link: ip, over: { pppoe: wan0 } }
//     - { name: br0, over: { bridge: [lan0, lan1] } }
//   neverDrop: { replies: [], dhcpServer: [lan0], services: [{ protocol: udp, port: 53 }] }

import { parse } from 'yaml';
import { type DeviceInterface, type DeviceView, type InterfaceOver, usualNeverDrop } from '../device-view.ts';

/** Interfaces are numbered from here on, in the order they are written. */
const firstIndex = 1000;
const interfacesMax = 256;
const lists = ['arp', 'neighbourDiscovery', 'dhcpClient', 'dhcpServer', 'replies'] as const;

/** Throws Error with a sentence about what cannot be understood. */
export function readDevice(text: string): DeviceView {
  const value: unknown = parse(text, { schema: 'core', maxAliasCount: 0 });
  const { interfaces, neverDrop } = only(value, ['interfaces', 'neverDrop'], 'device');
  const entries = listOf(interfaces, 'interfaces').map((one) =>
    only(one, ['name', 'link', 'addresses', 'over'], 'an interface'),
  );
  if (entries.length > interfacesMax)
    throw new Error(`${entries.length} interfaces, at most ${interfacesMax}`);
  const names = entries.map(({ name }) => textOf(name, 'name'));
  const indexOf = (name: unknown) => {
    const at = names.indexOf(textOf(name, 'an interface that it lies on'));
    if (at < 0) throw new Error(`there is no interface "${name}"`);
    return firstIndex + at;
  };
  return {
    interfaces: entries.map(({ link = 'ethernet', addresses = [], over }, at): DeviceInterface => {
      if (link !== 'ethernet' && link !== 'ip' && link !== 'loopback') {
        throw new Error('link has to be ethernet, ip or loopback');
      }
      return {
        name: names[at] ?? '',
        index: firstIndex + at,
        link,
        addresses: listOf(addresses, 'addresses').map((one) => textOf(one, 'an address')),
        ...(over === undefined ? {} : { over: readOver(over, indexOf) }),
      };
    }),
    neverDrop: neverDrop === undefined ? usualNeverDrop : readNeverDrop(neverDrop),
  };
}

function readOver(value: unknown, indexOf: (name: unknown) => number): InterfaceOver {
  const over = only(value, ['vlan', 'parent', 'pppoe', 'macvlan', 'bridge', 'bond'], 'over');
  if (over.vlan !== undefined) return { kind: 'vlan', id: Number(over.vlan), parent: indexOf(over.parent) };
  for (const kind of ['pppoe', 'macvlan'] as const) {
    if (over[kind] !== undefined) return { kind, parent: indexOf(over[kind]) };
  }
  for (const kind of ['bridge', 'bond'] as const) {
    if (over[kind] !== undefined) return { kind, ports: listOf(over[kind], kind).map(indexOf) };
  }
  throw new Error('over has to be vlan with parent, pppoe, macvlan, bridge or bond');
}

function readNeverDrop(value: unknown): DeviceView['neverDrop'] {
  const given = only(value, [...lists, 'services'], 'neverDrop');
  const globs = (name: (typeof lists)[number]) =>
    given[name] === undefined
      ? usualNeverDrop[name]
      : listOf(given[name], name).map((one) => textOf(one, 'an interface'));
  const services = given.services === undefined ? null : listOf(given.services, 'services');
  return {
    ...usualNeverDrop,
    ...Object.fromEntries(lists.map((name) => [name, globs(name)])),
    ...(services === null ? {} : { services: services.map(readService) }),
  };
}

function readService(value: unknown): DeviceView['neverDrop']['services'][number] {
  const { protocol, port, address } = only(value, ['protocol', 'port', 'address'], 'a service');
  if (protocol !== 'tcp' && protocol !== 'udp') throw new Error('the protocol of a service is tcp or udp');
  return {
    protocol,
    port: Number(port),
    address: address === undefined ? null : textOf(address, 'the address of a service'),
  };
}

function only<Key extends string>(
  value: unknown,
  keys: readonly Key[],
  what: string,
): Partial<Record<Key, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new Error(`${what} has to be a map`);
  const unknown = Object.keys(value).find((key) => !keys.some((one) => one === key));
  if (unknown !== undefined) throw new Error(`${what} knows no "${unknown}"; there are ${keys.join(', ')}`);
  return value;
}

function listOf(value: unknown, what: string): readonly unknown[] {
  if (!Array.isArray(value)) throw new Error(`${what} has to be a list`);
  return value;
}

function textOf(value: unknown, what: string): string {
  if (typeof value !== 'string') throw new Error(`${what} has to be text`);
  return value;
}
