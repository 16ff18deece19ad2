// Goal: versions are compared where they can be, and nothing is called fixed that can't.
// Method: pairs and ranges, with what stands to them on each side.

import t from 'tap';
import {
  compareVersions,
  parseRange,
  parseVersion,
  standing,
} from '../../../agent/policy/firmware-version.ts';

const compare = (a: string, b: string) => {
  const [one, other] = [parseVersion(a), parseVersion(b)];
  return one === null || other === null ? 'unreadable' : compareVersions(one, other);
};

t.test('compares numbers, and what follows them where it is understood', async (t) => {
  const rising = [
    ['1.1.3', '1.1.4'],
    ['1.9', '1.10'],
    ['1.1', '1.1.0.1'],
    ['V1.0.0.50_1.0.38', 'v1.0.0.52_1.0.2'],
    ['1.1.4-rc1', '1.1.4-rc2'],
    ['1.1.4-beta3', '1.1.4-rc1'],
    ['1.1.4-rc2', '1.1.4'],
    ['21.02.3-r1', '21.02.3-r12'],
    ['2.0-odd', '3.0-other'],
    ['9', '99999999999999999999'],
  ] as const;
  for (const [low, high] of rising) {
    t.equal(compare(low, high), -1, `${low} < ${high}`);
    t.equal(compare(high, low), 1, `${high} > ${low}`);
    t.equal(compare(low, low), 0);
  }
  t.equal(compare('1.1', 'v1.1.0'), 0);
  for (const [a, b] of [
    ['1.1.4', '1.1.4-r1'],
    ['1.1.4 Build 20230219', '1.1.4'],
    ['1.1.4b.2', '1.1.4'],
    ['1.1.4-hotfix', '1.1.4-rc1'],
  ] as const) {
    t.equal(compare(a, b), null, `${a} and ${b} can't be compared`);
    t.equal(compare(b, a), null);
  }
  for (const odd of ['', 'r21234', '-1', 'x1.2', '1'.repeat(200)]) t.equal(parseVersion(odd), null, odd);
});

t.test('says where a version stands to ranges', async (t) => {
  const ranges = ['<1.1.4', '>=2.0 <2.3.1'].map(parseRange).filter((one) => typeof one !== 'string');
  t.equal(ranges.length, 2);
  const at = (version: string, of = ranges) => {
    const parsed = parseVersion(version);
    return parsed === null ? 'unreadable' : standing(of, parsed);
  };
  t.equal(at('1.1.3'), 'in');
  t.equal(at('2.0'), 'in');
  t.equal(at('2.3.0.9'), 'in');
  t.equal(at('1.1.4'), 'fixed');
  t.equal(at('1.5'), 'fixed', 'above the end of one, and not yet in the other');
  t.equal(at('2.3.1'), 'fixed');
  t.equal(at('1.1.4-hotfix'), 'unknown');
  t.equal(
    at('2.3.1 Build 7'),
    'unknown',
    'that it is one of the first is as good as certain, and not certain',
  );
  const later = [parseRange('>=2.0 <=2.3')].filter((one) => typeof one !== 'string');
  t.equal(at('1.9', later), 'before');
  t.equal(at('2.3', later), 'in');
  t.equal(at('2.3.1', later), 'fixed');
  const one = [parseRange('1.0.7')].filter((range) => typeof range !== 'string');
  t.equal(at('1.0.7', one), 'in');
  t.equal(at('1.0.8', one), 'fixed');
  t.equal(at('1.0.6', one), 'before');
});

t.test('refuses ranges that hold nothing, or are none', async (t) => {
  for (const empty of ['>2 <1', '>=2 <2', '=1 =2', '>1 <=1', '<1 =2'])
    t.type(parseRange(empty), 'string', empty);
  for (const odd of ['', 'x', '<', '1.2 || 1.3', '^1.2', '1 '.repeat(9)])
    t.type(parseRange(odd), 'string', odd);
  for (const good of ['<=1', '>=2 <2.0.1', '>=2 <=2', '=2', '2 <3', '>1'])
    t.not(typeof parseRange(good), 'string', good);
});
