// Goal: packets of every kind of link are judged once, by the zone of the interface they belong to, and rejected ones
// are answered there; what is inside a tunnel and what carries it are told apart.
// Method: guest/link-kinds.ts sends and counts inside. The oldest of the guests' kernels, with tc by clsact, and the
// newest, with TCX, of the flavour that has PPP as well.

import { existsSync, readFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import * as z from 'zod';
import { bareLinkMissing, buildBareLink } from '../lab/bare-link.ts';
import { guestMissing } from './guest.ts';
import { guestPrograms, programMissing, told } from './guest-programs.ts';
import { machineProgram } from './initramfs.ts';
import { findKernel, fullKernel, type KernelName } from './kernels.ts';
import { moreModules } from './modules.ts';
import { bootFor, playIn } from './play.ts';

t.setTimeout(900_000);

const wg = '/usr/bin/wg';
const missing = (name: KernelName) =>
  programMissing() || guestMissing(name) || bareLinkMissing() || programMissingHere(wg);
const modules = [
  ...['wireguard', 'macvlan', 'ipip', 'esp4', 'xfrm_user', 'xfrm_interface'],
  ...['gcm', 'ghash_generic', 'ctr', 'seqiv', 'jitterentropy_rng', 'drbg'],
  ...['ppp_generic', 'ppp_async', 'pppoe'],
];

const staged = z.strictObject({
  stage: z.string(),
  hooks: z.array(z.string()),
  leftOut: z.array(z.string()),
});
const lot = z.strictObject({
  network: z.string(),
  arrived: z.array(z.number()),
  left: z.array(z.number()),
  refused: z.array(z.string()),
  hits: z.record(z.string(), z.number()),
});
const apart = z.strictObject({ apart: z.array(z.string()), ends: z.array(z.string()) });
type Lot = z.infer<typeof lot>;

for (const [name, tc] of [
  ['5.10', 'clsact'],
  [fullKernel, 'tcx'],
] as const) {
  const isBare = name === fullKernel;
  t.test(`Debian's ${name}`, { skip: missing(name) }, async (t) => {
    const kernel = findKernel(name);
    if (kernel === null) throw new Error(`no ${name} kernel`);
    const guest = await bootFor(t, name, {
      ...(await guestPrograms('link-kinds', 'peer')),
      ...machineProgram(wg),
      ...moreModules(kernel, modules),
      'husk/build/bare-link': readFileSync(buildBareLink()),
    });
    const result = await playIn(t, guest, `link-kinds${isBare ? ' bare' : ''}`, 360_000);
    const all = told(result, z.union([staged, lot, apart]));
    const stages = all.filter((one) => 'stage' in one);
    t.strictSame(stages[0], {
      stage: 'ethernet and tunnels',
      hooks: hooksOf(tc),
      leftOut: ['hb0'],
    });
    const lots = all.filter((one) => 'network' in one);
    t.equal(lots.length, isBare ? 15 : 11);
    for (const one of lots) await t.test(one.network, async (t) => checkLot(t, one));
    // Dropped outside at one port, and inside at the other: neither is taken for the other.
    const [outer, ...inner] = [
      ['nothing', 'connected'],
      ['connected', 'nothing'],
      ['connected', 'nothing'],
    ];
    t.strictSame(
      all.find((one) => 'apart' in one),
      { apart: ['outer', 'wireguard', 'xfrm'], ends: [...(outer ?? []), ...inner.flat()] },
    );
    if (isBare) checkBare(t, stages);
  });
}

const whyTc = {
  hk0: 'the card takes off the tags of VLANs with zones of their own',
  'hk0.5': 'a vlan has no driver to run XDP',
  'hk0.5.7': 'a vlan has no driver to run XDP',
  agg0: 'XDP of a bond runs on its ports',
  mv0: 'a macvlan has no driver to run XDP',
  wg0: 'no Ethernet header',
  ipip0: 'no Ethernet header',
  ipsec0: 'no Ethernet header',
} as const;

/** XDP where it can be, and it is in the order of the interfaces: the first two were there before the VLANs. */
function hooksOf(tc: string): string[] {
  const judgedByTc = (name: keyof typeof whyTc) => [
    `made tc_ingress ${name} ${tc}: ${whyTc[name]}`,
    `made tc_egress ${name} ${tc}`,
  ];
  const [first, ...rest] = Object.keys(whyTc) as (keyof typeof whyTc)[];
  return [
    ...judgedByTc(first ?? 'hk0'),
    'made xdp_ingress un0 native',
    `made tc_egress un0 ${tc}`,
    ...rest.flatMap(judgedByTc),
  ];
}

/** Of what an interface carries, by the zone of `un0`. */
const carriers: Readonly<Record<string, string>> = {
  wireguard: 'wireguard',
  xfrm: 'esp',
  ipip: 'ipip',
  policyTunnel: 'esp',
  policyTransport: 'esp',
};
const isCarrier = (rule: string) => /^outer-(wireguard|esp|ipip)-/.test(rule);

function checkLot(t: Test, { network, arrived, left, refused, hits }: Lot): void {
  const isUnjudged = network.startsWith('policy');
  const families = arrived.length / 2;
  const fate = [isUnjudged ? 20 : 0, 20];
  const fates = families === 2 ? [...fate, ...fate] : fate;
  t.strictSame(arrived, fates, 'one port passes in, and one does not');
  t.strictSame(left, fates, 'one port passes out, and one does not');
  t.strictSame(
    refused,
    refused.map(() => 'ECONNREFUSED'),
    'who is rejected hears of it, both ways',
  );
  t.equal(refused.length, isUnjudged || network === 'outer' ? 0 : 4 * families);

  const own = Object.fromEntries(Object.entries(hits).filter(([rule]) => !isCarrier(rule)));
  const zone = network === 'pppoe' ? 'ppp' : network;
  const resets = ['in', 'out'].map((way) => own[`${zone}-reset-${way}`] ?? 0);
  const once = (way: string) => ({
    [`${zone}-deny-${way}`]: 20 * families,
    [`${zone}-pass-${way}`]: 20 * families,
    ...(refused.length > 0
      ? {
          [`${zone}-unreachable-${way}`]: families,
          [`${zone}-reset-${way}`]: own[`${zone}-reset-${way}`] ?? 0,
        }
      : {}),
  });
  t.same(own, isUnjudged ? {} : { ...once('in'), ...once('out') }, 'judged once, by its own zone alone');
  // A SYN is sent again where an emulated machine stood still.
  if (refused.length > 0)
    t.ok(
      resets.every((count) => count >= families && count <= 3 * families),
      resets.join(),
    );

  const carrier = carriers[network];
  if (carrier === undefined) return;
  const [into, out] = ['in', 'out'].map((way) => hits[`outer-${carrier}-${way}`] ?? 0);
  // What was dropped on its way out was never put into the tunnel.
  t.ok(
    Number(into) >= 40 * families && Number(out) >= (isUnjudged ? 40 : 20) * families,
    'its carrier is judged too',
  );
  if (!isUnjudged) t.ok(Number(out) < 40 * families, `nothing that was dropped was sent: ${out}`);
}

function checkBare(t: Test, stages: readonly z.infer<typeof staged>[]): void {
  const about = (stage: string, name: string) =>
    stages.find((one) => one.stage === stage)?.hooks.filter((hook) => hook.includes(` ${name} `));
  const made = (name: string) => [
    `made tc_ingress ${name} tcx: no Ethernet header`,
    `made tc_egress ${name} tcx`,
  ];
  for (const name of ['ppp0', 'tun0', 'wwan0']) t.strictSame(about('bare', name), made(name));
  t.strictSame(about('bare', 'pe0'), ['made xdp_ingress pe0 native', 'made tc_egress pe0 tcx']);
  t.strictSame(about('ppp again', 'ppp0'), made('ppp0'), 'another interface under the name');
  t.strictSame(
    about('ppp again', 'tun0'),
    made('tun0').map((hook) => hook.replace('made', 'kept')),
  );
}

function programMissingHere(path: string): string | false {
  return existsSync(path) ? false : `needs ${path} (./build.sh deps)`;
}
