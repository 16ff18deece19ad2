// Goal: commands reach the running agent and nobody else does; one agent at a time; whatever is written to
// the socket does the agent no harm.
// Method: a real socket in a temporary folder, real clients, and clients that misbehave.

import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import {
  askAgent,
  type ControlAsk,
  controlPath,
  isAgentRunning,
  NoAgent,
  permitPath,
} from '../../../agent/cli/control.ts';
import { AlreadyRunning, type ControlHandler, ControlServer } from '../../../agent/cli/control-server.ts';
import { RefusalError } from '../../../agent/contract/refusal.ts';
import { DiskFiles } from '../../../agent/os/files.ts';
import { silentLog } from '../../../agent/os/log.ts';

type Test = Pick<typeof t, 'teardown'>;

async function open(
  t: Test,
  handler: ControlHandler | null,
): Promise<{ folder: string; server: ControlServer }> {
  const folder = join(mkdtempSync(join(tmpdir(), 'husk-control-')), 'run');
  const server = await ControlServer.open(new DiskFiles(), folder, silentLog);
  if (handler !== null) server.serve(handler);
  t.teardown(async () => {
    await server.close();
    rmSync(join(folder, '..'), { recursive: true });
  });
  return { folder, server };
}

async function ask(folder: string, what: ControlAsk) {
  const replies = [];
  for await (const reply of askAgent(folder, what)) replies.push(reply);
  return replies;
}

const echo: ControlHandler = async function* (what) {
  yield { asked: what.ask };
};

t.test('an answer comes row by row', async (t) => {
  const { folder } = await open(t, async function* (what) {
    if (what.ask === 'query') for (let n = 0; n < 1000; n += 1) yield { n, view: what.view };
  });
  const replies = await ask(folder, { ask: 'query', view: 'rules' });
  t.equal(replies.length, 1001);
  t.strictSame(replies[999], { row: { n: 999, view: 'rules' } });
  t.strictSame(replies[1000], { end: true });
});

t.test('who has a permit comes by a socket of his own', async (t) => {
  const { folder } = await open(t, async function* (what, _, by) {
    yield { asked: what.ask, by };
  });
  const permit = { payload: 'x' };
  const rows = async (given: typeof permit | null) => {
    const replies = [];
    for await (const reply of askAgent(folder, { ask: 'unprotect', seconds: 60 }, given)) replies.push(reply);
    return replies;
  };
  t.strictSame((await rows(permit))[0], { row: { asked: 'unprotect', by: { permit } } });
  t.strictSame((await rows(null))[0], { row: { asked: 'unprotect', by: 'login' } });
  t.equal(statSync(permitPath(folder)).mode & 0o777, 0o600);
});

t.test('a socket takes what is for it alone', async (t) => {
  const { folder } = await open(t, echo);
  const said = async (path: string, line: object) => {
    const socket = connect(path);
    socket.write(`${JSON.stringify(line)}\n`);
    const pieces: Buffer[] = [];
    for await (const piece of socket) pieces.push(piece as Buffer);
    return Buffer.concat(pieces).toString();
  };
  t.match(await said(permitPath(folder), { ask: 'return' }), /query\.malformed/, 'no permit');
  t.match(await said(controlPath(folder), { permit: {}, ask: { ask: 'return' } }), /query\.malformed/);
});

t.test('refusals and failures come back as such', async (t) => {
  const { folder } = await open(t, async function* (what) {
    yield { before: true };
    if (what.ask === 'return') throw new RefusalError('query.busy', 'later');
    throw new Error('kernel');
  });
  t.strictSame((await ask(folder, { ask: 'return' })).at(-1), {
    refusal: { code: 'query.busy', detail: 'later' },
  });
  t.strictSame((await ask(folder, { ask: 'follow' })).at(-1), { error: 'kernel' });
});

t.test('only its owner may open it', async (t) => {
  const { folder } = await open(t, echo);
  t.equal(statSync(controlPath(folder)).mode & 0o777, 0o600);
  t.equal(statSync(folder).mode & 0o777, 0o700);
});

t.test('there is one agent to a run folder', async (t) => {
  const { folder, server } = await open(t, echo);
  t.equal(await isAgentRunning(folder), true);
  await t.rejects(ControlServer.open(new DiskFiles(), folder, silentLog), AlreadyRunning);
  t.strictSame((await ask(folder, { ask: 'return' }))[0], { row: { asked: 'return' } }, 'and it lives on');
  await server.close();
  t.equal(await isAgentRunning(folder), false);
  await t.rejects(ask(folder, { ask: 'return' }), NoAgent);
  // What a killed agent leaves behind.
  writeFileSync(controlPath(folder), '');
  const next = await ControlServer.open(new DiskFiles(), folder, silentLog);
  next.serve(echo);
  t.strictSame(
    (await ask(folder, { ask: 'return' }))[0],
    { row: { asked: 'return' } },
    'a stale socket is replaced',
  );
  await next.close();
});

t.test('a question before the agent is ready is told so', async (t) => {
  const { folder } = await open(t, null);
  t.match(await ask(folder, { ask: 'return' }), [{ error: /starting/ }]);
});

t.test('what is no question is refused, and the next one is answered', async (t) => {
  const { folder } = await open(t, echo);
  const say = (text: string | Buffer): Promise<string> =>
    new Promise((resolve) => {
      let heard = '';
      const socket = connect(controlPath(folder), () => socket.write(text));
      socket.on('data', (chunk) => {
        heard += chunk;
      });
      socket.once('close', () => resolve(heard));
      socket.on('error', () => {});
    });
  for (const text of [
    '{\n',
    '{"ask":"run"}\n',
    '{"ask":"return","x":1}\n',
    '[]\n',
    'null\n',
    '{"ask":"apply","folder":"relative"}\n',
  ]) {
    t.match(await say(text), /query\.malformed/, text.trim());
  }
  t.equal(await say('x'.repeat(40_000)), '', 'a line without end is hung up on');
  t.match(await say(Buffer.from([0xff, 0xfe, 0x0a])), /query\.malformed/);
  t.strictSame((await ask(folder, { ask: 'return' }))[0], { row: { asked: 'return' } });
});

t.test('an asker who leaves ends what was done for him', async (t) => {
  let left = false;
  const { folder } = await open(t, async function* (_what, gone) {
    yield { n: 1 };
    await new Promise<void>((resolve) => gone.addEventListener('abort', () => resolve(), { once: true }));
    left = true;
  });
  for await (const reply of askAgent(folder, { ask: 'follow' })) {
    t.strictSame(reply, { row: { n: 1 } });
    break;
  }
  for (let tries = 0; tries < 200 && !left; tries += 1)
    await new Promise((resolve) => setTimeout(resolve, 10));
  t.ok(left);
});

t.test('connections that say nothing do not keep others out for long', async (t) => {
  const { folder } = await open(t, echo);
  const idle = Array.from({ length: 20 }, () => {
    const socket = connect(controlPath(folder));
    socket.on('error', () => {});
    return socket;
  });
  t.teardown(() => idle.forEach((socket) => void socket.destroy()));
  await new Promise((resolve) => setTimeout(resolve, 200));
  const open8 = idle.filter((socket) => !socket.destroyed).length;
  t.ok(open8 <= 8, `${open8} are held`);
  for (const socket of idle) socket.destroy();
  await new Promise((resolve) => setTimeout(resolve, 100));
  t.strictSame((await ask(folder, { ask: 'return' }))[0], { row: { asked: 'return' } });
});
