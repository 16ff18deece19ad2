// Inside a guest: SYNs above the rate through the live packet programs, to a listener that is there, and what the
// device makes of the ACKs that follow. Every frame is run as if it had come in by the loopback interface.

import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { addon } from '../../../native/index.ts';
import { tcpFlag, tcpFrame } from '../../lab/frame.ts';
import { LivePackets, type PacketHook, testRunInterface } from '../../lab/live-packets.ts';
import { tell } from './tell.ts';

const object = (name: string) => new Uint8Array(readFileSync(`/husk/build/bpf/${name}.bpf.o`));
const packets = new LivePackets({
  xdp_ingress: object('xdp_ingress'),
  tc_ingress: object('tc_ingress'),
  tc_egress: object('tc_egress'),
});
const toPort = 7080;
/** What is within the rate: the least that a bucket holds. */
const within = 5;
const own = { ipv4: '192.0.2.1', ipv6: '2001:db8::1' } as const;
const peers = { ipv4: '198.51.100.9', ipv6: '2001:db8:9::9' } as const;
const zone = { zone: 'here', default: 'allow', rules: [], synCookies: { above: '1/h', perSource: '1/h' } };
const policy = {
  apiVersion: 'husk/v1',
  kind: 'PacketPolicy',
  metadata: { name: 'cookies' },
  spec: { mode: 'enforce', zones: { here: { interfaces: ['lo'] } }, ingress: [zone], egress: [] },
};
const device = { ...testRunInterface, addresses: [`${own.ipv4}/24`, `${own.ipv6}/64`] };

let fromPort = 2000;

type Family = keyof typeof own;
const frame = (
  family: Family,
  port: number,
  flags: number,
  numbers: { sequence: number; acknowledgement?: number },
) => tcpFrame({ from: peers[family], to: own[family], fromPort: port, toPort, flags, ...numbers });

function run(at: PacketHook, one: Buffer): { verdict: number; data: Buffer } {
  const { verdict, data } = addon.testRun(packets.program(at), one);
  return { verdict, data: Buffer.from(data) };
}

/** A SYN, then an ACK that brings nothing back, then the one that brings the cookie. */
function shake(at: PacketHook, family: Family): void {
  const port = fromPort++;
  const asked = frame(family, port, tcpFlag.syn, { sequence: 100 });
  const { verdict, data } = run(at, asked);
  const sequence = data.readUInt32BE(family === 'ipv4' ? 14 + 20 + 4 : 14 + 40 + 4);
  const ack = (acknowledgement: number) =>
    run(at, frame(family, port, tcpFlag.ack, { sequence: 101, acknowledgement })).verdict;
  tell({
    at,
    family,
    verdict,
    answer: data.toString('hex'),
    // Neighbours of a cookie are right for other sizes of segments.
    bad: ack((sequence + 0x1001) >>> 0),
    good: ack((sequence + 1) >>> 0),
  });
}

function shakeAll(): void {
  for (let at = 0; at < within; at++) run('xdp', frame('ipv4', fromPort++, tcpFlag.syn, { sequence: 1 }));
  for (const at of ['xdp', 'ingress'] as const)
    for (const family of ['ipv4', 'ipv6'] as const) shake(at, family);
  // Where the kernel gives no cookie, a source has five, the least that a bucket holds.
  writeFileSync('/proc/sys/net/ipv4/tcp_syncookies', '0');
  const verdicts = Array.from(
    { length: within + 2 },
    () => run('xdp', frame('ipv4', fromPort++, tcpFlag.syn, { sequence: 1 })).verdict,
  );
  tell({ limited: verdicts, totals: packets.totals() });
}

writeFileSync('/proc/sys/net/ipv4/tcp_syncookies', '2');
const server = createServer();
server.listen({ port: toPort, host: '::' }, () => {
  packets
    .load(policy, [device])
    .then(shakeAll)
    .catch((error: unknown) => {
      console.error(error);
      process.exitCode = 1;
    })
    .finally(() => server.close());
});
