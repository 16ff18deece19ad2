// Goal: an imported policy follows connections as the ruleset did that it came from.
// Method: as in real.test.ts, with conversations: an opener, and, where it got through, answers and more of both,
// for TCP, UDP and ICMP echo; openers that open nothing; errors that quote a packet; packets out of the blue.
// Left out is what the import reports as judged otherwise: answers to what was refused on its way out, and TCP
// picked up in its middle. Seed printed; HUSK_SEED replays one.

import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { PolicyDocument } from '../../../../agent/contract/policy.ts';
import { PacketEvaluator } from '../../../../agent/policy/evaluate.ts';
import { importIptables } from '../../../../agent/policy/import/iptables.ts';
import { importNft } from '../../../../agent/policy/import/nft.ts';
import { Lab, labMissing } from '../../../lab/lab.ts';
import { compare, judge, routerDevice, type Way } from './compare.ts';
import { randomFrom } from './generate.ts';
import { ipPacket, type PacketShape } from './packets.ts';
import { interfaceOf, networks, Router, routerAddresses, type Side, sides } from './router.ts';

const seed = Number(process.env.HUSK_SEED ?? Math.floor(Math.random() * 0x7fffffff));
t.comment(`seed ${seed}`);
t.setTimeout(300_000);
const conversations = 60;
const folder = join(import.meta.dirname, 'rulesets/state');
const missing =
  labMissing() ||
  (['iptables-restore', 'nft', 'python3']
    .map((name) => (spawnSync(name, ['--version']).error === undefined ? false : `needs the program ${name}`))
    .find((one) => one !== false) ??
    false);

if (missing !== false) {
  t.plan(0, missing);
} else {
  const lab = await Lab.open();
  t.teardown(() => lab.close());
  for (const name of readdirSync(folder)) {
    t.test(`${name}: followed as the kernel follows`, async (t) => {
      const router = Router.open(lab, name.replace('.', '-'));
      try {
        const { documents, families } = load(router, name);
        router.watch();
        const ways = talk(router, documents, families);
        const { passed, dropped } = await compare(t, router, documents, ways, 'same', 2);
        t.comment(`${passed} passed, ${dropped} dropped`);
        t.ok(passed > 20 && dropped > 20, 'both happened');
      } finally {
        router.close();
      }
    });
  }
}

function load(
  router: Router,
  name: string,
): { documents: readonly PolicyDocument[]; families: readonly (4 | 6)[] } {
  const text = readFileSync(join(folder, name), 'utf8');
  const options = { interfaces: sides.map(interfaceOf) };
  if (name.endsWith('.nft')) {
    router.load('nft', ['-f'], text);
    const listing = router.run('nft', ['-j', 'list', 'ruleset']);
    return { documents: importNft({ file: name, text: listing }, options).documents, families: [4, 6] };
  }
  router.load('iptables-restore', [], text);
  const saved = router.run('iptables-save', []);
  return { documents: importIptables([{ file: name, text: saved }], options).documents, families: [4] };
}

interface End {
  readonly side: Side | null;
  readonly address: string;
  readonly port: number;
}

/** Conversations one after another; what is said next hangs on whether the policy let the last word through. */
function talk(
  router: Router,
  documents: readonly PolicyDocument[],
  families: readonly (4 | 6)[],
): readonly Way[] {
  const random = randomFrom(seed);
  const pick = <T>(list: readonly T[]): T => list[random(list.length)] as T;
  const evaluator = new PacketEvaluator(documents, routerDevice);
  const ways: Way[] = [];
  const say = (family: 4 | 6, from: End, to: End, more: Omit<PacketShape, 'from' | 'to'>): boolean => {
    const shape: PacketShape = {
      from: from.address,
      to: to.address,
      fromPort: from.port,
      toPort: to.port,
      ...more,
    };
    const number = ways.length + 1;
    const says = JSON.stringify({ ...shape, by: from.side, out: to.side });
    const way: Way = {
      number,
      family,
      from: from.side,
      to: to.side ?? 'router',
      packet: ipPacket(shape, number),
      says,
    };
    ways.push(way);
    const verdicts = judge(evaluator, router, way, BigInt(number) * 1_000_000n);
    return verdicts.every(({ verdict }) => verdict === 'allow');
  };
  for (let count = 0; count < conversations; count++) {
    const family = pick(families);
    const at = family === 4 ? 0 : 1;
    // Ports of their own, so that no two conversations are of one connection.
    const end = (side: Side | null, port: number): End => {
      const host = side === null ? '' : networks[side][at];
      const address =
        side === null
          ? routerAddresses.a[at]
          : family === 4
            ? `${host}.0.${1 + random(9)}`
            : `${host}::${1 + random(9)}`;
      return { side, address, port };
    };
    const places: readonly (Side | null)[] = [...sides, null];
    const one = pick(places);
    const other = pick(places.filter((place) => place !== one));
    const [a, b] = [end(one, 20_000 + count), end(other, pick([53, 80, 22, 9000]))];
    switch (random(6)) {
      case 0:
      case 1: {
        const open = say(family, a, b, { protocol: 6, flags: 2, sequence: 1000 });
        if (!open) break;
        const answered = say(family, b, a, { protocol: 6, flags: 18, sequence: 5000, acknowledged: 1001 });
        if (!answered) break;
        say(family, a, b, { protocol: 6, flags: 16, sequence: 1001, acknowledged: 5001 });
        say(family, a, b, { protocol: 6, flags: 24, sequence: 1001, acknowledged: 5001, payload: 8 });
        say(family, b, a, { protocol: 6, flags: 16, sequence: 5001, acknowledged: 1009 });
        break;
      }
      case 2:
      case 3: {
        for (let words = 0; words < 3; words++) {
          if (!say(family, a, b, { protocol: 17, payload: 8 })) break;
          if (random(2) === 0) say(family, b, a, { protocol: 17, payload: 8 });
        }
        break;
      }
      case 4: {
        const protocol = family === 4 ? 1 : 58;
        const [request, reply] = family === 4 ? [8, 0] : [128, 129];
        const id = { ...a, port: 20_000 + count };
        if (say(family, id, b, { protocol, icmp: [request, 0] }))
          say(family, { ...b, port: id.port }, a, { protocol, icmp: [reply, 0] });
        break;
      }
      default: {
        // Out of the blue: no connection begins like this.
        const protocol = family === 4 ? 1 : 58;
        const odd = random(3);
        if (odd === 0) say(family, a, b, { protocol: 6, flags: 4, sequence: 7 });
        else if (odd === 1) say(family, a, b, { protocol, icmp: [family === 4 ? 0 : 129, 0] });
        else say(family, a, b, { protocol: 6, flags: 18, sequence: 7, acknowledged: 9 });
      }
    }
  }
  return ways;
}
