// Goal: what cannot be known of the device is not called enforced.
// Method: a description of parts that are played: a policy in force with every hook in place, and an addon that answers
// whether IPsec goes by policy alone, or does not.

import t from 'tap';
import type { PolicyDocument } from '../../agent/contract/policy.ts';
import { type DeviceParts, describeDevice } from '../../agent/describe-device.ts';
import { compile } from '../../agent/policy/compile.ts';
import { readIpsecByPolicy } from '../../agent/prepare-device.ts';
import { plainFacts } from '../lab/plain-kernel.ts';

const documents: readonly PolicyDocument[] = [
  {
    apiVersion: 'husk/v1',
    kind: 'PacketPolicy',
    metadata: { name: 'p' },
    spec: {
      mode: 'enforce',
      zones: { wan: { interfaces: ['wan0'] }, vpn: { interfaces: ['ipsec0'] } },
      ingress: [
        { zone: 'wan', default: 'drop', rules: [] },
        { zone: 'vpn', default: 'drop', rules: [] },
      ],
      egress: [],
    },
  },
];
const image = compile(
  documents,
  plainFacts([], () => 0),
);
const ids = ['p/wan:default-ingress', 'p/vpn:default-ingress'];

/** As far as rules are told. */
function rulesTold(ipsecByPolicy: () => boolean): Record<string, string> {
  const parts = {
    kernel: {
      status: () => ({ hooks: ['xdp_ingress wan0 native', 'tc_ingress ipsec0 tcx'], kernelBytes: 0 }),
    },
    applier: {
      state: () => ({
        image,
        rules: ids.map((id) => ({ id, state: 'enforced' })),
        inForce: null,
        assignment: null,
        proven: null,
        documents: [],
      }),
    },
    interfaces: () => [
      { name: 'wan0', kind: '' },
      { name: 'ipsec0', kind: 'xfrm' },
    ],
    floor: () => ({ why: null }),
    synCookies: () => 2,
    launched: () => new Map(),
    ipsecByPolicy,
  };
  const { rules } = describeDevice(parts as unknown as DeviceParts).reported();
  return Object.fromEntries(rules.map(({ id, state }) => [id, state]));
}

/** As the kernel lists them: the socket of protocol 6, of process 0, is that of IPsec. */
const sockets = (protocol: number, process: number) =>
  [
    'sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode',
    '0000000000000000 0   0          00000000 0        0        0     2        0        12',
    `0000000000000000 ${protocol}   ${process}          00000000 0        0        0     2        0        7`,
    '',
  ].join('\n');
const answering = (answer: boolean) => ({ ipsecByPolicy: () => answer });
const silent = {
  ipsecByPolicy: (): boolean => {
    throw new Error('list IPsec policies: ETIMEDOUT');
  },
};

t.test('IPsec by policy, and IPsec that does not answer, degrade what it may pass by', async (t) => {
  const [wan = '', vpn = ''] = ids;
  const told = (...asked: Parameters<typeof readIpsecByPolicy>) =>
    rulesTold(() => readIpsecByPolicy(...asked));
  const whole = { [wan]: 'enforced', [vpn]: 'enforced' };
  const lowered = { [wan]: 'degraded', [vpn]: 'enforced' };
  t.strictSame(told(answering(false), sockets(6, 0)), whole);
  t.strictSame(told(answering(true), sockets(6, 0)), lowered);
  t.strictSame(told(silent, sockets(6, 0)), lowered, 'no answer is not taken for none');
  t.strictSame(told(silent, sockets(4, 0)), whole, 'a kernel without it is not asked');
  t.strictSame(told(silent, sockets(6, 312)), whole, 'the socket of a process is not that of the kernel');
});
