// Goal: however long a list is and in whatever order, the same ranges come of it, and a list with faults tells them
// each time. Method: lists long enough to be remembered, shuffled, with neighbours that touch and IPv6 addresses that
// agree in their first word; one range in the end, or as many as were put in. The smaller cases are in prefixes.test.ts.

import t from 'tap';
import { rangeCount, rangesFrom, rangesOfList } from '../../../agent/policy/ranges.ts';
import { randomFrom } from './set-tables/samples.ts';

const seed = Math.floor(Math.random() * 2 ** 31);
t.comment(`seed ${seed}`);
const count = 5000;

function shuffled(entries: string[]): string[] {
  const random = randomFrom(seed);
  for (let index = entries.length - 1; index > 0; index--) {
    const other = random(index + 1);
    [entries[index], entries[other]] = [entries[other] ?? '', entries[index] ?? ''];
  }
  return entries;
}

const noFault = (index: number, message: string) => t.fail(`${index} ${message}`);
const numbered = (text: (index: number) => string) =>
  shuffled(Array.from({ length: count }, (_, i) => text(i)));
const byte = (index: number) => `${index >> 8}.${index & 255}`;

t.test('neighbours in any order become one range', async (t) => {
  const { ipv4, ipv6 } = rangesFrom(
    [
      ...numbered((index) => `10.1.${byte(index)}`),
      ...numbered((index) => `2001:db8::1:${index.toString(16)}`),
    ],
    noFault,
  );
  t.same([...ipv4], [0, 0, 0xffff, 0x0a010000, 0, 0, 0xffff, 0x0a010000 + count - 1]);
  t.same([...ipv6], [0x20010db8, 0, 0, 0x10000, 0x20010db8, 0, 0, 0x10000 + count - 1]);
});

t.test('what does not touch stays apart and is sorted, in the first word and behind it', async (t) => {
  for (const text of [
    (index: number) => `10.${byte(index)}.0/25`,
    (index: number) => `2001:db8:${index.toString(16)}::/56`,
    (index: number) => `2001:${index.toString(16)}::/48`,
  ]) {
    const { ipv4, ipv6 } = rangesFrom(numbered(text), noFault);
    const ranges = ipv4.length > 0 ? ipv4 : ipv6;
    t.equal(rangeCount(ranges), count);
    const { ipv4: four, ipv6: six } = rangesFrom(
      Array.from({ length: count }, (_, index) => text(index)),
      noFault,
    );
    t.same(ranges, four.length > 0 ? four : six);
  }
});

t.test('a carry over words is a neighbour too', async (t) => {
  const { ipv6 } = rangesFrom(['2001:db8:0:1::/128', '2001:db8::ffff:ffff:ffff:ffff', '::ffff'], noFault);
  t.equal(rangeCount(ipv6), 2);
});

t.test('a list is read once, and one with faults each time', async (t) => {
  const list = numbered((index) => `10.1.${byte(index)}`);
  t.equal(rangesOfList(list, noFault), rangesOfList(list, noFault));
  const faulty = [...list, 'nonsense'];
  for (const time of ['first', 'second']) {
    const faults: number[] = [];
    rangesOfList(faulty, (index) => faults.push(index));
    t.same(faults, [count], time);
  }
});

t.test('one entry is read as it is among many', async (t) => {
  for (const entry of ['192.0.2.0/24', '192.0.2.1-192.0.2.9', '2001:db8::/33', '0.0.0.0/0', '::/0']) {
    const one = rangesFrom([entry], noFault);
    t.same(one, rangesFrom([entry, entry], noFault), entry);
    t.equal(rangeCount(one.ipv4) + rangeCount(one.ipv6), 1, entry);
  }
  const faults: (readonly [number, string])[] = [];
  t.same(rangesFrom(['192.0.2.1/24'], (index, message) => faults.push([index, message])).ipv4.length, 0);
  t.match(faults, [[0, /bits set behind its prefix length/]]);
});

t.test('the first and the last address have no neighbour on their other side', async (t) => {
  const { ipv4 } = rangesFrom(['255.255.255.255', '0.0.0.0', '255.255.255.254', '0.0.0.1-0.0.0.3'], noFault);
  t.same([...ipv4], [0, 0, 0xffff, 0, 0, 0, 0xffff, 3, 0, 0, 0xffff, 0xfffffffe, 0, 0, 0xffff, 0xffffffff]);
});
