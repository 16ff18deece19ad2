// Goal: what no device can enforce is said with its place before anybody signs it, and what fits is not.
// Method: texts at a limit and one beyond it, read and then held to what devices can.

import t, { type Test } from 'tap';
import { checkFit } from '../../../agent/policy/check-fit.ts';
import { formatFault } from '../../../agent/policy/faults.ts';
import { readAndCheck } from '../../../agent/policy/read.ts';
import {
  HUSK_BIG_SETS_MAX,
  HUSK_CALL_RULES_MAX,
  HUSK_RULES_MAX,
  HUSK_SUBJECTS_MAX,
  HUSK_ZONES_MAX,
} from '../../../bpf/abi/layout.gen.ts';

const many = (count: number, line: (index: number) => string) =>
  Array.from({ length: count }, (_, index) => line(index)).join('\n');
const head = (kind: string, name: string) =>
  `apiVersion: husk/v1\nkind: ${kind}\nmetadata: { name: ${name} }\nspec:\n  mode: enforce\n`;
const packets = (rules: string, zones = '    wan: { interfaces: [w0] }') =>
  `${head('PacketPolicy', 'p')}  zones:\n${zones}\n  ingress:\n    - zone: wan\n      default: drop\n      rules:\n${rules}\n  egress: []\n`;
const calls = (rules: string, name = 'h', more = '') =>
  `${head('HardeningPolicy', name)}  subject: { cgroup: ${name} }\n${more}  rules: [\n${rules}\n  ]\n`;

function said(t: Test, text: string): readonly string[] {
  const { documents, faults } = readAndCheck([{ file: 'f', text }]);
  t.strictSame(faults.filter(({ severity }) => severity === 'error').map(formatFault), [], 'no other faults');
  return checkFit(documents).faults.map(formatFault);
}

t.test('the rule, zone or subject that first finds no room', async (t) => {
  const rule = (index: number) =>
    `        - { id: r${index}, from: 10.0.${index >> 8}.${index & 255}, action: drop }`;
  // More ranges than are folded into the rules' own tables.
  const addresses = (index: number) =>
    Array.from({ length: 257 }, (_, one) => `10.${index}.${one >> 7}.${(2 * one) & 255}`);
  const set = (index: number) => `        - { id: r${index}, from: [${addresses(index)}], action: drop }`;
  // A list is held to as many rules when it is read; the tables of a direction have all lists together.
  const half = 9_000;
  const twoLists = (count: number) =>
    packets(
      `${many(half, rule)}\n    - zone: lan\n      default: drop\n      rules:\n${many(count - half, (index) => rule(half + index))}`,
      '    wan: { interfaces: [w0] }\n    lan: { interfaces: [w1] }',
    );
  const zone = (index: number) => `    ${index === 0 ? 'wan' : `z${index}`}: { interfaces: [w${index}] }`;
  const bind = (index: number) => `    { id: r${index}, bind: { ports: ${index} }, action: deny },`;
  const subject = (index: number) => calls(bind(1), `s${index}`);
  const limits: readonly (readonly [limit: number, text: (count: number) => string, fault: string])[] = [
    [
      HUSK_RULES_MAX,
      twoLists,
      'f:10064:17: spec.ingress[1].rules[1048].id: 10049 entries of ingress rules, at most 10048; the first without room is p/r10048',
    ],
    [
      HUSK_BIG_SETS_MAX,
      (count) => packets(many(count, set)),
      'f:20:17: spec.ingress[0].rules[8].id: 9 large sets, at most 8; the first without room is p/r8',
    ],
    [
      HUSK_ZONES_MAX,
      (count) => packets(rule(0), many(count, zone)),
      'f:23:10: spec.zones.z16: 17 zones, at most 16',
    ],
    [
      HUSK_CALL_RULES_MAX,
      (count) => calls(many(count, bind)),
      'f:136:11: spec.rules[128].id: 129 entries of call rules, at most 128; the first without room is h/r128',
    ],
    [
      HUSK_SUBJECTS_MAX,
      (count) => many(count, (index) => `---\n${subject(index)}`),
      'f:711:22: spec.subject.cgroup: 65 subjects, at most 64',
    ],
  ];
  for (const [limit, text, fault] of limits) {
    t.strictSame(said(t, text(limit)), [], `${limit} fit`);
    t.strictSame(said(t, text(limit + 1)), [`${fault}: no device has room for it`]);
  }
});

t.test('every denial that no device could keep, at once', async (t) => {
  const rules = [
    '{ id: a, socket: { family: [packet] }, action: deny },',
    '{ id: b, socket: { type: [raw] }, action: deny },',
    '{ id: off, mode: off, socket: { family: [unix] }, action: deny },',
    '{ id: seen, socket: { family: [inet, inet6] }, action: deny },',
    '{ id: let, socket: { family: [netlink] }, action: allow },',
  ]
    .map((rule) => `    ${rule}`)
    .join('\n');
  t.strictSame(said(t, calls(rules, 'h', '  default: { socket: deny }\n')), [
    'f:7:22: spec.default.socket: would deny sockets of every family; of a subject that is a cgroup alone a device sees inet and inet6, so name those, or an executable or a user in the subject',
    'f:9:32: spec.rules[0].socket.family: would deny sockets of family packet; of a subject that is a cgroup alone a device sees inet and inet6, so name those, or an executable or a user in the subject',
    'f:10:22: spec.rules[1].socket.family: would deny sockets of every family; of a subject that is a cgroup alone a device sees inet and inet6, so name those, or an executable or a user in the subject',
  ]);
  t.strictSame(
    said(t, calls(rules, 'h', '  default: { socket: deny }\n').replace('mode: enforce', 'mode: off')),
    [],
  );
});
