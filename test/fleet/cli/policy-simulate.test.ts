// Goal: a capture comes out as one verdict a packet, the same for people and machines, by evaluator and kernel;
// what was asked for decides where packets are judged; what cannot be judged, read or run is said as such.
// Method: the command run in this process over the fixtures and over captures written for one question each; for
// --kernel an agent from the sources, one that lies, and none.

import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import t from 'tap';
import { type PacketToWrite, writePcap } from '../../../agent/policy/capture/pcap.ts';
import { frameFromText } from '../../../agent/policy/cases/frame-text.ts';
import { timeText } from '../../../fleet/cli/simulation.ts';
import { blocks, join as joined } from '../../agent/policy/capture/pcapng-blocks.ts';
import { kernelMissing } from '../../agent/policy/kernel-lab.ts';
import { husk } from '../test-controller.ts';

const root = resolve(import.meta.dirname, '../../..');
const fixtures = join(root, 'test/fixtures');
const folder = mkdtempSync(join(tmpdir(), 'husk-simulate-'));
t.teardown(() => rmSync(folder, { recursive: true }));

const file = (name: string, content: string | Uint8Array) => {
  writeFileSync(join(folder, name), content);
  return join(folder, name);
};
const policy = file(
  'branch.yaml',
  `apiVersion: husk/v1
kind: PacketPolicy
metadata: { name: p }
spec:
  mode: enforce
  zones: { lan: { interfaces: [br-lan] }, wan: { interfaces: ["wwan*", eth0] } }
  ingress:
    - zone: wan
      default: drop
      rules:
        - { id: seen, mode: monitor, protocol: tcp, ports: { to: 23 }, action: drop }
        - { id: ssh, protocol: tcp, ports: { to: 22 }, action: allow }
        - { id: never, protocol: sctp, action: drop }
  egress:
    - { zone: lan, default: allow, rules: [{ id: out, protocol: tcp, action: drop }] }
`,
);
const ssh = frameFromText('ipv4 192.0.2.1 > 198.51.100.1 / tcp 40000 > 22 syn');
const telnet = frameFromText('ipv6 2001:db8::1 > 2001:db8::2 / tcp 40000 > 23 syn ack');
const second = 1_000_000_000n;
const capture = (name: string, packets: readonly PacketToWrite[], linkType = 1) =>
  file(name, writePcap(packets, { linkType }));
const two = capture('two.pcap', [
  { timeNs: 1_700_000_000n * second + 5n, bytes: ssh },
  { timeNs: 1_700_000_001n * second, bytes: telnet },
]);

const lines = (said: { readonly out: string }) => said.out.split('\n').map((line) => JSON.parse(line));
const simulate = (...words: readonly string[]) => husk(['policy', 'simulate', policy, ...words]);
const sshLine = {
  ...{ index: 0, verdict: 'allow', rule: 'p/ssh', reason: 'rule', monitored: null },
  time: '2023-11-14T22:13:20.000000005Z',
  ...{ interface: 'wwan0', direction: 'ingress', bytes: ssh.length },
};

t.test('one JSON line a packet', async (t) => {
  const said = await simulate('--pcap', two, '--json');
  t.match(said, { code: 0, err: '' });
  t.strictSame(lines(said), [
    sshLine,
    {
      ...{ index: 1, verdict: 'drop', rule: 'p/wan:default-ingress', reason: 'default', monitored: 'p/seen' },
      time: '2023-11-14T22:13:21.000000000Z',
      ...{ interface: 'wwan0', direction: 'ingress', bytes: telnet.length },
    },
  ]);
});

const here = file(
  'here.yaml',
  `apiVersion: husk/v1
kind: PacketPolicy
metadata: { name: p }
spec:
  mode: enforce
  zones: { wan: { interfaces: [eth0] } }
  ingress:
    - { zone: wan, default: drop, rules: [{ id: here, toDevice: true, action: allow }] }
  egress: []
`,
);
const sent = capture(
  'sent.pcap',
  [
    'ipv4 192.0.2.1 > 198.51.100.1 / tcp 40000 > 22 syn',
    'ipv4 192.0.2.1 > 198.51.100.255 / udp 1 > 9',
    'ipv4 192.0.2.1 > 198.51.100.7 / udp 1 > 9',
    'ipv6 2001:db8::1 > 2001:db8::2 / udp 1 > 9',
    'ipv4 192.0.2.1 > 224.0.0.5 / protocol 89',
  ].map((text) => ({ timeNs: 0n, bytes: frameFromText(text) })),
);
const own = ['--own', '198.51.100.1/24, 2001:db8::2'];

t.test('what goes to the device is known by its addresses', async (t) => {
  const verdicts = async (...words: readonly string[]) => {
    const said = await husk(['policy', 'simulate', here, '--pcap', sent, '--json', ...words]);
    t.equal(said.code, 0, said.err);
    return { verdicts: lines(said).map(({ verdict }) => verdict), err: said.err };
  };
  t.strictSame(await verdicts(...own), { verdicts: ['allow', 'allow', 'drop', 'allow', 'allow'], err: '' });
  t.match(await verdicts(), { verdicts: ['drop', 'drop', 'drop', 'drop', 'allow'], err: /--own/ });
  t.match(await simulate('--pcap', two, '--json'), { err: '' }, 'nothing is said where no rule asks for it');
  for (const wrong of ['', 'eth0', '192.0.2.1/33', '2001:db8::1/129', '192.0.2.1/', '192.0.2.1,']) {
    t.match(await simulate('--pcap', two, '--own', wrong), { code: 2, err: /--own/ }, wrong);
  }
});

t.test('a table, and the sums by rule', async (t) => {
  const said = await simulate('--pcap', two);
  t.match(said, { code: 0, err: '' });
  const [head, first, second, monitored] = said.out.split('\n');
  t.match(head, /^ INDEX +TIME +AT +VERDICT +RULE +PACKET$/);
  t.match(
    first,
    /^ {5}0 +0\.000000 +in wwan0 +allow +p\/ssh +tcp 192\.0\.2\.1:40000 → 198\.51\.100\.1:22 syn$/,
  );
  t.match(
    second,
    /^ {5}1 +0\.999999 +in wwan0 +drop +p\/wan:default-ingress +tcp \[2001:db8::1\]:40000 → .*:23 syn ack$/,
  );
  t.match(monitored, /^ +monitored by p\/seen$/);
  t.match(said.out, /^allow +p\/ssh +1 +54$/m);
  t.match(said.out, /^monitor +p\/seen +1 +74$/m);
  t.match(said.out, /^2 packets, 128 bytes\n2 rules of 4 matched nothing$/m);

  const sums = await simulate('--pcap', two, '--summary');
  t.notMatch(sums.out, /INDEX/);
  t.match(sums.out, /^drop +p\/wan:default-ingress +1 +74$/m);
  t.match(JSON.parse((await simulate('--pcap', two, '--summary', '--json')).out), {
    ...{ packets: 2, bytes: 128, cutShort: 0, notRun: 0, differing: 0 },
    verdicts: [
      { verdict: 'allow', rule: 'p/ssh', reason: 'rule', packets: 1, bytes: 54 },
      { verdict: 'drop', rule: 'p/wan:default-ingress', reason: 'default', packets: 1, bytes: 74 },
    ],
    monitored: [{ rule: 'p/seen', packets: 1 }],
  });
});

t.test('what is longer than its column moves the rest', async (t) => {
  const { section, interface: described, enhanced, option } = blocks('little');
  const name = 'wwan-of-the-yard';
  const late = 400_000n * 1_000_000n;
  const long = file(
    'long.pcapng',
    joined(
      section(),
      described(1, 0, option(2, Buffer.from(name))),
      enhanced({ interface: 0, ticks: 0n, bytes: ssh }),
      enhanced({ interface: 0, ticks: late, bytes: ssh }),
    ),
  );
  const [, first, second] = (await simulate('--pcap', long)).out.split('\n');
  t.match(first, /^ {5}0 +0\.000000 +in wwan-of-the-yard +allow +p\/ssh +tcp/);
  t.match(second, /^ {5}1 +400000\.000000 +in wwan-of-the-yard +allow +p\/ssh +tcp/);
});

t.test('where packets are judged', async (t) => {
  const first = async (...words: readonly string[]) => lines(await simulate(...words, '--json'))[0];
  t.match(await first('--pcap', two, '--zone', 'lan'), {
    interface: 'br-lan',
    verdict: 'allow',
    reason: 'default',
  });
  t.match(await first('--pcap', two, '--zone', 'p/wan'), { rule: 'p/ssh' });
  t.match(await first('--pcap', two, '--interface', 'eth0'), { interface: 'eth0', rule: 'p/ssh' });
  t.match(await first('--pcap', two, '--interface', 'eth9'), { rule: null, reason: 'unzoned' });
  t.match(await first('--pcap', two, '--zone', 'lan', '--direction', 'egress'), {
    rule: 'p/out',
    verdict: 'drop',
  });
  t.match(await first('--pcap', two, '--direction', 'egress'), { interface: 'br-lan', rule: 'p/out' });

  const { section, interface: described, enhanced, option, u32 } = blocks('little');
  const named = (name: string) => described(1, 0, option(2, Buffer.from(name)));
  const at = (id: number, flags: number) =>
    enhanced({ interface: id, ticks: 1n, bytes: ssh }, option(2, u32(flags)));
  const several = file(
    'several.pcapng',
    joined(section(), named('eth0'), named('br-lan'), named('lo'), at(0, 1), at(1, 2), at(1, 1), at(2, 0)),
  );
  t.strictSame(
    lines(await simulate('--pcap', several, '--json')).map((one) => [one.direction, one.interface, one.rule]),
    [
      ['ingress', 'eth0', 'p/ssh'],
      ['egress', 'br-lan', 'p/out'],
      ['ingress', 'br-lan', null],
      ['ingress', 'wwan0', 'p/ssh'],
    ],
    'as the capture says, where it names what is in a zone',
  );
  t.match(await first('--pcap', several, '--zone', 'lan', '--direction', 'ingress'), { interface: 'br-lan' });
});

t.test('what a capture cut is said to be cut', async (t) => {
  const cut = capture('cut.pcap', [
    { timeNs: 0n, bytes: ssh.subarray(0, 54), originalLength: 1514 },
    { timeNs: 0n, bytes: ssh.subarray(0, 40), originalLength: 54 },
  ]);
  const said = await simulate('--pcap', cut, '--json');
  t.equal(said.code, 0);
  t.match(lines(said), [
    // Its IP header states 40 bytes; what is behind is padding.
    { verdict: 'allow', rule: 'p/ssh', bytes: 1514 },
    { verdict: null, rule: null, reason: 'cut-short' },
  ]);
  t.match(
    (await simulate('--pcap', cut)).out,
    /- +cut short by the capture +40 of 54 bytes\n[\s\S]*1 packet cut short/,
  );
});

t.test('packets without a link header', async (t) => {
  const raw = capture('raw.pcap', [{ timeNs: 0n, bytes: ssh.subarray(14) }], 101);
  t.match(lines(await simulate('--pcap', raw, '--json')), [{ rule: 'p/ssh', bytes: 40 }]);
});

t.test('what cannot be read', async (t) => {
  const whole = writePcap(
    [
      { timeNs: 0n, bytes: ssh },
      { timeNs: 0n, bytes: ssh },
    ],
    { linkType: 1 },
  );
  const damaged = file('damaged.pcap', whole.subarray(0, whole.length - 1));
  const said = await simulate('--pcap', damaged, '--json');
  t.match(said, {
    code: 1,
    err: /damaged.pcap: at byte 110: the file ends in packet 1: 53 of 54 bytes are there/,
  });
  t.match(lines(said), [{ index: 0, rule: 'p/ssh' }], 'what came before is judged');
  const failing: readonly (readonly [words: readonly string[], err: RegExp])[] = [
    [['--pcap', join(folder, 'none')], /none: cannot be read: there is no such file/],
    [['--pcap', folder], /cannot be read: is a folder/],
    [['--pcap', policy], /not a capture file: it begins with 61706956/],
    [['--pcap', capture('wifi.pcap', [], 105)], /link type 105 \(IEEE 802.11\) is not read/],
  ];
  for (const [words, err] of failing) t.match(await simulate(...words, '--json'), { code: 1, err, out: '' });
  const broken = file('broken.yaml', 'apiVersion: husk/v1\nkind: PacketPolicy\n');
  t.match(await husk(['policy', 'simulate', broken, '--pcap', two]), {
    code: 1,
    err: /not simulated: \d+ fault/,
    out: '',
  });
  t.match(await simulate('--pcap', two, '--zone', 'dmz'), { code: 2, err: /no zone dmz; it has lan, wan/ });
});

t.test('times', async (t) => {
  t.equal(timeText(null), null);
  t.equal(timeText(0n), '1970-01-01T00:00:00.000000000Z');
  t.equal(timeText(-1n), '1969-12-31T23:59:59.999999999Z');
  t.equal(timeText(1n << 63n), '2262-04-11T23:47:16.854775808Z');
  t.match(timeText((1n << 64n) * second), /^@18446744073709551616\.000000000$/, 'beyond what dates have');
});

const agent = (name: string, script: string) => {
  const path = file(name, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
  return path;
};
const kernel = (name: string, ...words: readonly string[]) =>
  husk(['policy', 'simulate', policy, ...words, '--kernel'], { HUSK_AGENT: name, PATH: '' });
const sources = agent('from-sources', `exec ${process.execPath} ${root}/agent/main.ts "$@"`);

t.test('--kernel without an agent that can', async (t) => {
  t.match(await husk(['policy', 'simulate', policy, '--pcap', two, '--kernel'], { PATH: folder }), {
    code: 1,
    out: '',
    err: /husk-agent is needed, and is neither beside husk nor in PATH/,
  });
  t.match(await kernel(join(folder, 'nothing'), '--pcap', two), {
    code: 1,
    err: /HUSK_AGENT is .*nothing, which is no program/,
    out: '',
  });
  const unable = agent('unable', 'echo "husk-agent: loading programs needs root" >&2; exit 1');
  t.match(await kernel(unable, '--pcap', two), {
    code: 1,
    err: '--kernel: husk-agent: loading programs needs root',
  });
  t.match(await kernel(agent('mute', 'exit 3'), '--pcap', two), { code: 1, err: /mute ended \(3\)/ });
  const stops = agent('stops', 'read line; echo "{}"; read line; echo "it broke" >&2; exit 1');
  t.match(await kernel(stops, '--pcap', two, '--json'), { code: 1, err: '--kernel: it broke' });
});

t.test('--kernel: a difference is said and is a failure', async (t) => {
  const wrong = '{"verdict":"drop","reason":"rule","rule":"p/never","monitored":null}';
  const liar = agent(
    'liar',
    `read l; echo '{"ready":true}'; read l; echo '${wrong}'; read l; echo '{"error":"too odd"}'`,
  );
  const said = await kernel(liar, '--pcap', two, '--json');
  t.match(said, { code: 1, err: /evaluator and kernel differ on 1 packet/ });
  t.match(lines(said), [
    {
      index: 0,
      verdict: 'drop',
      rule: 'p/never',
      differs: true,
      evaluator: { verdict: 'allow', rule: 'p/ssh' },
    },
    { index: 1, verdict: null, reason: 'not-run', error: 'too odd', evaluator: { verdict: 'drop' } },
  ]);
  const table = await kernel(liar, '--pcap', two);
  t.equal(table.code, 1);
  t.match(table.out, /drop +p\/never[^\n]*\n +differs: the evaluator says allow by p\/ssh\n/);
  t.match(table.out, /not run: too odd/);
  t.match(table.out, /1 packet that the kernel runs no program on, not judged/);
});

t.test('--kernel: the real programs', { skip: kernelMissing() ?? false, timeout: 120_000 }, async (t) => {
  t.strictSame(lines(await kernel(sources, '--pcap', two, '--json'))[0], sshLine, 'the same line');
  const names = [
    'DnsPackets.pcap',
    'ip6_fragments.pcap',
    'tcp-malformed.pcap',
    'four_ipv6_http_streams.pcap',
  ];
  for (const path of [...names.map((name) => `pcap/${name}`), 'pcapng/GrePackets.pcapng']) {
    const words = ['--pcap', join(fixtures, path), '--zone', 'wan', '--summary', '--json'];
    const said = await kernel(sources, ...words);
    t.match(said, { code: 0, err: '' }, path);
    const sums = JSON.parse(said.out);
    t.ok(sums.packets > 0 && sums.notRun === 0 && sums.differing === 0, `${path}: ${sums.packets} packets`);
  }
  const asked = ['policy', 'simulate', here, '--pcap', sent, '--json', '--kernel', ...own];
  const said = await husk(asked, { HUSK_AGENT: sources, PATH: '' });
  t.match(said, { code: 0, err: '' });
  t.strictSame(
    lines(said).map(({ verdict }) => verdict),
    ['allow', 'allow', 'drop', 'allow', 'allow'],
    'the addresses of the device',
  );
});
