// Goal: `judge` answers each frame with what the real programs make of it, agrees with the evaluator, leaves nothing
// in the kernel, and says what is wrong with what it is given before it loads anything.
// Method: the command run in this process with lines for input; a kernel that must not be asked for faults, the
// real one (root, built objects) for verdicts, compared with the evaluator over the project's cases.

import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { Readable } from 'node:stream';
import t from 'tap';
import { runCommand } from '../../../agent/cli/program.ts';
import { DiskFiles } from '../../../agent/os/files.ts';
import { frameFromText } from '../../../agent/policy/cases/frame-text.ts';
import { readCase } from '../../../agent/policy/cases/read-case.ts';
import { readAndCheck } from '../../../agent/policy/read.ts';
import type { Addon } from '../../../native/index.ts';
import { kernelMissing } from '../policy/kernel-lab.ts';

const missing = kernelMissing();
const skip = missing ?? false;
const policy = readAndCheck([
  {
    file: 'p.yaml',
    text: `apiVersion: husk/v1
kind: PacketPolicy
metadata: { name: p }
spec:
  mode: enforce
  zones: { wan: { interfaces: [wan0, "ppp*"] } }
  ingress:
    - { zone: wan, default: drop, rules: [{ id: ssh, protocol: tcp, ports: { to: 22 }, action: allow }] }
  egress:
    - { zone: wan, default: allow, rules: [{ id: out, protocol: udp, action: drop }] }
`,
  },
]).documents;
const head = JSON.stringify({ documents: policy });
const line = (interfaceName: string, text: string, direction = 'ingress') =>
  JSON.stringify({
    ...{ direction, interface: interfaceName },
    frame: Buffer.from(frameFromText(text)).toString('base64'),
  });

async function judge(
  lines: readonly string[],
  addon: () => Promise<Addon> = realAddon,
  chunkBytes = 1 << 20,
) {
  let out = '';
  let complaint = '';
  const text = Buffer.from(lines.join('\n'));
  const chunks = function* () {
    for (let at = 0; at < text.length; at += chunkBytes) yield text.subarray(at, at + chunkBytes);
  };
  const status = await runCommand(['judge'], {
    ...{ files: new DiskFiles(), addon, input: Readable.from(chunks()), isTerminal: false },
    interrupted: () => new AbortController().signal,
    run: async () => 0,
    out: (said) => {
      out += said;
    },
    complain: (said) => {
      complaint += said;
    },
  });
  return {
    status,
    answers: out
      .split('\n')
      .filter((one) => one !== '')
      .map((one) => JSON.parse(one)),
    complaint,
  };
}

const realAddon = async () => (await import('../../../native/index.ts')).addon;

/** Fails as soon as anything is asked of it. */
const noKernel = async () =>
  new Proxy({} as Addon, {
    get: (_, name) => {
      // Awaiting asks every object for `then`.
      if (name === 'then') return undefined;
      throw new Error(`the kernel was asked: ${String(name)}`);
    },
  });

t.test('what is no input is refused before the kernel is asked', async (t) => {
  const wrong: readonly (readonly [lines: readonly string[], complaint: RegExp])[] = [
    [[], /nothing on standard input/],
    [['{'], /the first line is no JSON: .*at 1/],
    [['[]'], /the first line is/],
    [['{"documents":7}'], /the first line is/],
    [['{"documents":[],"own":"192.0.2.1"}'], /"own" is a list of addresses/],
    [['{"documents":[],"own":["192.0.2.1/33"]}'], /no prefix length from 0 to 32/],
    [['{"documents":[{"kind":"Nonsense"}]}'], /have faults\ndocuments\[0\]\.kind: has to be/],
    [[head.replace('"wan"', '"lan"')], /have faults\n.*zone/],
  ];
  for (const [lines, complaint] of wrong) {
    t.match(await judge(lines, noKernel), { status: 1, answers: [], complaint }, lines[0] ?? 'nothing');
  }
  t.match(await judge([head], noKernel), { status: 1, complaint: /the kernel was asked: openObject/ });
});

t.test('an input that is still open when the command fails is let go', async (t) => {
  let closed = false;
  async function* open() {
    try {
      yield Buffer.from('{"documents":7}\n');
      await new Promise(() => {});
    } finally {
      closed = true;
    }
  }
  const interrupted = () => new AbortController().signal;
  const tools = {
    files: new DiskFiles(),
    addon: noKernel,
    isTerminal: false,
    run: async () => 0,
    interrupted,
  };
  const said = { out: () => {}, complain: () => {} };
  t.equal(await runCommand(['judge'], { ...tools, ...said, input: open() }), 1);
  t.ok(closed, 'or the process would stay for it');
});

t.test('without root', async (t) => {
  const refused = { openObject: () => ({}) } as unknown as Addon;
  refused.openObject = () => {
    throw Object.assign(new Error('load xdp_ingress: EPERM (Operation not permitted)\nlog'), {
      code: 'EPERM',
    });
  };
  t.match(await judge([head], async () => refused), {
    status: 1,
    complaint: /^husk-agent: loading programs into the kernel needs root: load xdp_ingress: EPERM[^\n]*\n$/,
  });
});

t.test('the kernel answers', { skip }, async (t) => {
  const lines = [
    head,
    line('wan0', 'ipv4 192.0.2.1 > 192.0.2.2 / tcp 1 > 22 syn'),
    line('ppp7', 'ipv4 192.0.2.1 > 192.0.2.2 / tcp 1 > 23 syn'),
    '',
    line('lan0', 'ipv4 192.0.2.1 > 192.0.2.2 / tcp 1 > 23 syn'),
    line('wan0', 'ipv4 192.0.2.1 > 192.0.2.2 / udp 1 > 2', 'egress'),
    line('wan0', 'ipv4 192.0.2.1 > 192.0.2.2 / cut 20', 'egress'),
    line('wan0', 'ipv4 192.0.2.1 > 192.0.2.2 / tcp 1 > 22 / bytes 4000'),
    line('wan0', 'arp'),
  ];
  const answers = [
    { verdict: 'allow', reason: 'rule', rule: 'p/ssh', monitored: null },
    { verdict: 'drop', reason: 'default', rule: 'p/wan:default-ingress', monitored: null },
    { verdict: 'allow', reason: 'unzoned', rule: null, monitored: null },
    { verdict: 'drop', reason: 'rule', rule: 'p/out', monitored: null },
    { error: 'the kernel runs no program on 20 bytes like these' },
    { error: '4054 bytes are more than a program is run on (3072)' },
    { verdict: 'allow', reason: 'never-drop', rule: null, monitored: null },
  ];
  for (const chunkBytes of [1 << 20, 50]) {
    const said = await judge(lines, realAddon, chunkBytes);
    t.match(said, { status: 0, complaint: '' });
    t.match(said.answers[0], { ready: true, version: /^\d/, kernel: /^\d+\.\d+/ });
    t.strictSame(said.answers.slice(1), answers);
  }
  const broken = await judge([head, '{"direction":"sideways"}', line('wan0', 'arp')]);
  t.match(broken, { status: 1, answers: { length: 1 }, complaint: /a frame is/ });
});

t.test('a packet on a link without a header has no address of the link', { skip }, async (t) => {
  const documents = [
    {
      ...{ apiVersion: 'husk/v1', kind: 'PacketPolicy', metadata: { name: 'p' } },
      spec: {
        mode: 'enforce',
        zones: { wan: { interfaces: ['wan0'] } },
        ingress: [
          {
            zone: 'wan',
            default: 'drop',
            rules: [
              { id: 'mac', mac: { from: { not: '02:00:00:00:00:77' } }, action: 'drop' },
              { id: 'four', etherType: 'ipv4', action: 'allow' },
            ],
          },
        ],
        egress: [],
      },
    },
  ];
  const frame = frameFromText('ipv4 192.0.2.1 > 192.0.2.2 / tcp 1 > 22 syn');
  const asked = (link: string | undefined, bytes: Uint8Array) =>
    JSON.stringify({
      ...{ direction: 'ingress', interface: 'wan0', link },
      frame: Buffer.from(bytes).toString('base64'),
    });
  const { answers } = await judge([
    JSON.stringify({ documents }),
    asked('ip', frame.subarray(14)),
    asked('ethernet', frame),
    asked(undefined, frame),
    asked('ip', frame.subarray(14)),
  ]);
  t.match(answers.slice(1), [{ rule: 'p/four' }, { rule: 'p/mac' }, { rule: 'p/mac' }, { rule: 'p/four' }]);
  t.match(await judge([JSON.stringify({ documents }), asked('ppp', frame)]), {
    status: 1,
    complaint: /a frame is/,
  });
});

t.test('the kernel and the cases agree, one process a case', { skip }, async (t) => {
  const folder = resolve(import.meta.dirname, '../../cases/policy');
  let compared = 0;
  for (const name of readdirSync(folder)) {
    const one = readCase(readFileSync(join(folder, name), 'utf8'), name);
    const { documents } = readAndCheck([{ file: '', text: one.policy }]);
    // Sequences, and what a device adds, are played by agreement-live.test.ts.
    if (documents.length === 0 || one.packets.length === 0 || one.device !== null) continue;
    const frames = one.packets.map(({ direction, interface: at, frame }) =>
      JSON.stringify({ direction, interface: at, frame: Buffer.from(frame).toString('base64') }),
    );
    const { answers } = await judge([JSON.stringify({ documents }), ...frames]);
    one.packets.forEach(({ expect, text }, index) => {
      const answer = answers[index + 1];
      if (answer?.error !== undefined) return;
      compared++;
      t.strictSame(answer, expect, `${name}: ${text}`);
    });
  }
  t.ok(compared > 100, `${compared} packets`);
});

t.test('nothing stays in the kernel', { skip }, async (t) => {
  const addon = await realAddon();
  const opened: { readonly fd: number }[] = [];
  const watched = new Proxy(addon, {
    get: (target, name) => {
      const value = Reflect.get(target, name);
      if (
        ['pin', 'attachXdp', 'attachTcx', 'attachClsact', 'attachCgroup', 'mountBpffs'].includes(String(name))
      ) {
        return () => t.fail(`${String(name)} was called`);
      }
      if (name !== 'openObject') return value;
      return (...given: Parameters<Addon['openObject']>) => {
        const object = target.openObject(...given);
        return new Proxy(object, {
          get: (inner, what) => {
            const own = Reflect.get(inner, what).bind(inner);
            if (what !== 'map' && what !== 'program') return own;
            return (one: string) => {
              const handle = own(one);
              opened.push(handle);
              return handle;
            };
          },
        });
      };
    },
  });
  t.match(await judge([head, line('wan0', 'arp')], async () => watched), { status: 0 });
  t.ok(opened.length > 10);
  t.ok(
    opened.every(({ fd }) => fd === -1),
    'every handle is closed',
  );
});
