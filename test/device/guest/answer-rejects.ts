// Inside a guest: frames that are rejected through the live packet programs, and what came of each.

import { readFileSync } from 'node:fs';
import { addon } from '../../../native/index.ts';
import { ipv4, ipv6, protocol, tcp, udp } from '../../bpf/frames.ts';
import { LivePackets, testRunInterface } from '../../lab/live-packets.ts';
import { tell } from './tell.ts';

const object = (name: string) => new Uint8Array(readFileSync(`/husk/build/bpf/${name}.bpf.o`));
const packets = new LivePackets({
  xdp_ingress: object('xdp_ingress'),
  tc_ingress: object('tc_ingress'),
  tc_egress: object('tc_egress'),
});
const zone = { zone: 'here', default: 'reject', rules: [] };
const spec = { mode: 'enforce', zones: { here: { interfaces: ['lo'] } }, ingress: [zone], egress: [zone] };
const metadata = { name: 'rejecting' };
// A bundle is CommonJS, which has no await of its own.
packets
  .load({ apiVersion: 'husk/v1', kind: 'PacketPolicy', metadata, spec }, [testRunInterface])
  .then(answerAll)
  .catch((error: unknown) => {
    console.error(error);
    process.exitCode = 1;
  });

function answerAll(): void {
  const long = udp({ payload: Buffer.alloc(1200, 0x61) });
  const frames = [
    ipv4(protocol.tcp, tcp()),
    ipv4(protocol.tcp, tcp({ words: 10 }), { words: 15 }),
    ipv6(protocol.tcp, tcp()),
    ipv4(protocol.udp, udp()),
    ipv4(protocol.udp, long),
    ipv6(protocol.udp, udp()),
    ipv6(protocol.udp, long),
  ];
  for (const at of ['xdp', 'ingress', 'egress'] as const) {
    for (const frame of frames) {
      const { verdict, data } = addon.testRun(packets.program(at), frame);
      tell({ at, asked: frame.toString('hex'), verdict, answer: Buffer.from(data).toString('hex') });
    }
  }
}
