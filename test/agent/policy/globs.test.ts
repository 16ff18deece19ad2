// Goal: a pattern matches the names it should, and two patterns overlap exactly when some name fits both.
// Method: a regular expression made from the pattern as second opinion; for overlaps, every name of a small
// alphabet up to the length that two patterns of four characters can need.

import fc from 'fast-check';
import t from 'tap';
import { globsOverlap, matchesGlob } from '../../../agent/policy/globs.ts';

t.test('known names', async (t) => {
  t.ok(matchesGlob('eth0', 'eth0'));
  t.notOk(matchesGlob('eth0', 'eth01'));
  t.ok(matchesGlob('wwan*', 'wwan0'));
  t.ok(matchesGlob('wwan*', 'wwan'));
  t.ok(matchesGlob('*', 'anything'));
  t.ok(matchesGlob('lan?', 'lan1'));
  t.notOk(matchesGlob('lan?', 'lan'));
  t.notOk(matchesGlob('lan?', 'lan12'));
  t.notOk(matchesGlob('eth0', 'eth*'), 'a name is no pattern');
  t.ok(matchesGlob('*.10', 'eth0.10'));
  t.notOk(matchesGlob('eth.1', 'ethx1'), 'a dot is a dot');
});

const pattern = fc
  .array(fc.constantFrom('a', 'b', '*', '?'), { maxLength: 4 })
  .map((parts) => parts.join(''));
const names = ['', 'a', 'b', 'c'];
for (let length = 1, last = ['a', 'b', 'c']; length < 7; length++) {
  last = last.flatMap((name) => ['a', 'b', 'c'].map((letter) => name + letter));
  names.push(...last);
}
const asExpression = (glob: string) => new RegExp(`^${glob.replaceAll('*', '.*').replaceAll('?', '.')}$`);

t.test('matches as a regular expression does', async () => {
  fc.assert(
    fc.property(pattern, fc.constantFrom(...names.slice(0, 1000)), (glob, name) => {
      if (matchesGlob(glob, name) !== asExpression(glob).test(name)) throw new Error(`${glob} ${name}`);
    }),
    { numRuns: 5000 },
  );
});

t.test('two patterns overlap exactly when a name fits both', async () => {
  fc.assert(
    fc.property(pattern, pattern, (a, b) => {
      const [one, other] = [asExpression(a), asExpression(b)];
      const expected = names.some((name) => one.test(name) && other.test(name));
      if (globsOverlap(a, b) !== expected) throw new Error(`${a} ${b}: ${!expected}`);
    }),
    { numRuns: 500 },
  );
});

t.test('a hostile pattern is quick', async (t) => {
  const start = performance.now();
  globsOverlap('*a'.repeat(200), '*b'.repeat(200));
  t.ok(performance.now() - start < 500);
});
