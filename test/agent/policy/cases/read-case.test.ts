// Goal: case files are read line by line with every fault at its line, and verdicts go to text and back.
// Method: small texts, right and with one thing wrong each. What the cases then come to is tested in test/cases.

import t from 'tap';
import { CaseError, readCase, readVerdict, verdictText } from '../../../../agent/policy/cases/read-case.ts';

const right = `# About this.
# And that.

=== policy
apiVersion: husk/v1
=== packets
# a comment
egress wan0: ipv4 192.0.2.1 > 192.0.2.2 / tcp 1 > 2 => drop by p/r monitored p/s
=== calls
d/x: connect tcp 192.0.2.1 443 => deny by h/default-connect
d: socket inet raw => allow no-subject
`;

t.test('a case', async (t) => {
  for (const text of [right, right.replaceAll('\n', '\r\n')]) {
    const found = readCase(text, 'x.case');
    t.match(found, {
      file: 'x.case',
      about: 'About this.\nAnd that.\n',
      policy: 'apiVersion: husk/v1',
      policyLine: 4,
      faults: [],
      tables: null,
      packets: [{ line: 8, direction: 'egress', interface: 'wan0', frame: { length: 54 } }],
      calls: [
        { line: 10, cgroup: 'd/x', call: { call: 'connect', family: 4, port: 443, protocol: 6 } },
        { line: 11, cgroup: 'd', call: { call: 'socket', type: 3 }, expect: { reason: 'no-subject' } },
      ],
    });
    t.strictSame(found.packets[0]?.expect, {
      verdict: 'drop',
      reason: 'rule',
      rule: 'p/r',
      monitored: 'p/s',
    });
    t.equal(found.calls[0]?.expect.reason, 'default', 'a default has its own reason');
  }
});

t.test('verdicts go both ways', async (t) => {
  for (const text of [
    'allow by p/r',
    'drop by p/wan:default-ingress monitored p/x',
    'deny by h/default-connect',
    'drop unparseable',
    'allow never-drop',
    'allow default monitored p/x',
  ]) {
    t.equal(verdictText(readVerdict(text)), text);
  }
  for (const text of ['', 'pass by x', 'drop', 'drop because', 'allow by', 'drop by p/r monitored']) {
    t.throws(() => readVerdict(text), text);
  }
});

t.test('what is wrong is said with its line', async (t) => {
  const wrong: readonly (readonly [text: string, message: RegExp])[] = [
    [right.replace('=== calls', '=== cals'), /^x.case:9: no section "cals"; there are policy, /],
    [right.replace('=== calls', '=== packets'), /^x.case:9: a second section "packets"/],
    [right.replace('egress wan0:', 'wan0:'), /^x.case:8: has to be DIRECTION INTERFACE/],
    [right.replace('tcp 1 > 2', 'tpc 1 > 2'), /^x.case:8: "tpc" is no header/],
    [right.replace('drop by p/r', 'drop'), /^x.case:8: a verdict says the rule or the reason/],
    [right.replace('192.0.2.1 443', '192.0.2.1'), /^x.case:10: connect TRANSPORT ADDRESS PORT/],
    [right.replace('192.0.2.1 443', '192.0.2.1 65536'), /^x.case:10: connect/],
    [right.replace('connect tcp', 'listen tcp'), /^x.case:10: "listen" is no call/],
    [right.replace('connect tcp', 'connect sctp'), /^x.case:10: tcp or udp/],
    [right.replace('inet raw', 'inet cooked'), /^x.case:11: socket FAMILY TYPE/],
  ];
  for (const [text, message] of wrong) {
    t.throws(() => readCase(text, 'x.case'), { message }, String(message));
    t.throws(() => readCase(text, 'x.case'), CaseError);
  }
});
