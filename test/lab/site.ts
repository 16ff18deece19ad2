// A small site: a wan with the controller in it, a device, and a lan behind the device.
//
//     wan                       device                      lan
//   ┌──────────────────┐      ┌──────────────────┐      ┌──────────────┐
//   │ controller    .1 │      │                  │      │              │
//   │ a neighbour  .50 ├──────┤ wan0 .2   lan0 .1├──────┤ host0 .10    │
//   │ an attacker  .66 │ up0  │                  │      │              │
//   └──────────────────┘      └──────────────────┘      └──────────────┘
//     198.51.100.0/24, 2001:db8:1::/64    192.168.77.0/24, 2001:db8:2::/64

import type { Reported } from '../../agent/contract/state.ts';
import { Controller, type ControllerOptions } from './controller.ts';
import { Device, type DeviceOptions } from './device.ts';
import type { Lab } from './lab.ts';
import type { Namespace } from './namespace.ts';
import { waitFor } from './wait-for.ts';

export const addresses = {
  controller: '198.51.100.1',
  device: '198.51.100.2',
  device6: '2001:db8:1::2',
  neighbour: '198.51.100.50',
  neighbour6: '2001:db8:1::50',
  attacker: '198.51.100.66',
  lanDevice: '192.168.77.1',
  lanHost: '192.168.77.10',
  lanHost6: '2001:db8:2::10',
} as const;

export interface Site {
  readonly lab: Lab;
  readonly wan: Namespace;
  readonly inside: Namespace;
  readonly lan: Namespace;
  readonly controller: Controller;
  readonly device: Device;
  /** The device's name with the controller. */
  readonly id: string;
}

/** A device and its controller, wherever they are. */
export type Enrolled = Pick<Site, 'controller' | 'id'>;

export interface SiteOptions {
  readonly controller?: Partial<ControllerOptions>;
  readonly device?: Partial<DeviceOptions>;
}

export interface Ground {
  readonly wan: Namespace;
  readonly inside: Namespace;
  readonly lan: Namespace;
}

/** The namespaces and wires alone. */
export function layGround(lab: Lab): Ground {
  const wan = lab.namespace('wan');
  const inside = lab.namespace('device');
  const lan = lab.namespace('lan');
  const others = [addresses.neighbour, addresses.attacker].map((address) => `${address}/24`);
  lab.wire(
    {
      namespace: wan,
      interface: 'up0',
      addresses: [`${addresses.controller}/24`, ...others, '2001:db8:1::1/64', `${addresses.neighbour6}/64`],
    },
    {
      namespace: inside,
      interface: 'wan0',
      addresses: [`${addresses.device}/24`, `${addresses.device6}/64`],
    },
  );
  lab.wire(
    {
      namespace: lan,
      interface: 'host0',
      addresses: [`${addresses.lanHost}/24`, `${addresses.lanHost6}/64`],
    },
    { namespace: inside, interface: 'lan0', addresses: [`${addresses.lanDevice}/24`, '2001:db8:2::1/64'] },
  );
  inside.set('net/ipv4/ip_forward', '1');
  inside.set('net/ipv6/conf/all/forwarding', '1');
  inside.run('ip', ['route', 'add', 'default', 'via', addresses.controller]);
  // What comes in from the wan for nobody here goes on into the lan, whoever it is for, so that packets of any
  // capture can be seen to pass through the device.
  for (const [family, host] of [
    ['-4', addresses.lanHost],
    ['-6', addresses.lanHost6],
  ] as const) {
    inside.run('ip', [family, 'rule', 'add', 'iif', 'wan0', 'lookup', '100']);
    inside.run('ip', [family, 'route', 'add', 'default', 'via', host, 'table', '100']);
    // Known from the start: only a few packets may wait for an address to be resolved.
    const mac = [...lan.macOf('host0')].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
    inside.run('ip', ['neigh', 'replace', host, 'lladdr', mac, 'dev', 'lan0', 'nud', 'permanent']);
  }
  lan.run('ip', ['route', 'add', 'default', 'via', addresses.lanDevice]);
  wan.run('ip', ['route', 'add', '192.168.77.0/24', 'via', addresses.device]);
  wan.run('ip', ['route', 'add', '2001:db8:2::/64', 'via', addresses.device6]);
  return { wan, inside, lan };
}

export async function startController(
  lab: Lab,
  ground: Ground,
  options: SiteOptions['controller'] = {},
): Promise<Controller> {
  return await Controller.start(lab, { namespace: ground.wan, address: addresses.controller, ...options });
}

/** Starts the agent with a fresh token and waits until the controller sees it up. */
export async function enrol(
  lab: Lab,
  ground: Ground,
  controller: Controller,
  options: SiteOptions['device'] = {},
): Promise<{ device: Device; id: string }> {
  const join = await controller.join();
  const interfaces = ['wan0', 'lan0'];
  const device = new Device(lab, { namespace: ground.inside, interfaces, join, ...options });
  device.start();
  const id = await waitFor(
    async () => {
      if (!device.program.running)
        throw new Error(`the agent ended: ${device.program.output().slice(-1000)}`);
      const up = (await controller.devices()).find((row) => row.state === 'up' && row.reported !== null);
      return up?.device;
    },
    { what: 'the device to be enrolled and up', withinMs: 180_000, everyMs: 200 },
  );
  return { device, id };
}

export async function openSite(lab: Lab, options: SiteOptions = {}): Promise<Site> {
  const ground = layGround(lab);
  const controller = await startController(lab, ground, options.controller);
  return { lab, ...ground, controller, ...(await enrol(lab, ground, controller, options.device)) };
}

/** Publishes and returns what the device reports once it is done with it: confirmed, refused, returned, superseded. */
export async function publishAndSettle(
  site: Enrolled,
  publication: { readonly files: readonly string[]; readonly trialSeconds?: number },
  withinMs = 60_000,
): Promise<Reported> {
  const before = await serialKnown(site);
  const said = await site.controller.publish(publication);
  if (said.code !== 0) throw new Error(`publish: exit ${said.code}: ${said.complaint}`);
  return await settled(site, before + 1, withinMs);
}

/** Starts the agent, ended before if it runs, and waits until the controller sees its new connection. */
export async function startAgain(site: Site, env: Readonly<Record<string, string>> = {}): Promise<void> {
  await site.device.kill('SIGKILL');
  const before = (await site.controller.device(site.id)).stateAt ?? 0;
  site.device.start(env);
  await waitFor(
    async () => {
      const row = await site.controller.device(site.id);
      return row.state === 'up' && (row.stateAt ?? 0) > before;
    },
    { what: 'the device to be connected again', withinMs: 60_000, everyMs: 150 },
  );
}

/** The serial of the newest assignment that the device has reported on; 0 for none. */
export async function serialKnown(site: Enrolled): Promise<number> {
  return (await site.controller.device(site.id)).reported?.assignment?.serial ?? 0;
}

/** What the device reports of an assignment with that serial or a higher one, once it is done with it. */
export async function settled(site: Enrolled, serial: number, withinMs: number): Promise<Reported> {
  return await waitFor(
    async () => {
      const { reported } = await site.controller.device(site.id);
      const done = !['fetching', 'verified', 'trial', undefined].includes(reported?.assignment?.result);
      return (reported?.assignment?.serial ?? 0) >= serial && done && reported;
    },
    { what: `the device to be done with serial ${serial}`, withinMs, everyMs: 150 },
  );
}

/** Hits of a rule in the kernel, by its stable id, as in `branch/listed`; null where no counter has that name. */
export async function ruleHits(site: Enrolled, rule: string): Promise<number | null> {
  const rows = (await site.controller.query(site.id, 'rules')) as readonly {
    id: string;
    hits: string | number;
  }[];
  const row = rows.find((one) => one.id === rule);
  return row === undefined ? null : Number(row.hits);
}
