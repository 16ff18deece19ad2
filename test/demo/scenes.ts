// What the demo shows, scene by scene. Each looks at the world, claims what it saw, and leaves the site as the
// next one wants it. Packets are counted twice: by the kernel's rule counters, and by what really came through.

import { copyFileSync, readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { gunzipSync } from 'node:zlib';
import type { Reported } from '../../agent/contract/state.ts';
import { udpFrame } from '../lab/frame.ts';
import { readCapture, sentTo } from '../lab/pcap.ts';
import {
  addresses,
  publishAndSettle,
  ruleHits,
  type Site,
  serialKnown,
  settled,
  startAgain,
} from '../lab/site.ts';
import { waitFor } from '../lab/wait-for.ts';
import { Listener, send } from '../lab/wire.ts';
import type { Account } from './account.ts';
import type { Stubd } from './stubd.ts';
import { Talker } from './talker.ts';

export interface Stage {
  readonly site: Site;
  readonly account: Account;
  readonly stubd: Stubd;
  /** A folder with the policies and the list beside them. */
  readonly policies: string;
  /** The addresses of the list. */
  readonly listed: readonly string[];
  /** One on the device, one behind it. */
  readonly listeners: { readonly device: Listener; readonly lan: Listener };
}

const fixtures = resolve(import.meta.dirname, '../fixtures');
const list = 'blocklist-ipsum-2026-08-22.txt.gz';
/** Captures in which every packet to one receiver (no multicast: that is not passed on) is from a private address. */
const captures = ['DnsPackets', 'telnet', 'IPv4Frag', 'Dhcp1'];
/** Fast, and slow enough that a veth's queue (256 packets) holds what the other core has not taken yet. */
const packetsPerSecond = 60_000;
const servicePort = 5005;
const trialSeconds = 5;

export function readList(): string[] {
  const text = gunzipSync(readFileSync(join(fixtures, list))).toString();
  return text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
}

export function layOutPolicies(folder: string): void {
  const from = join(import.meta.dirname, 'policy');
  for (const name of readdirSync(from)) copyFileSync(join(from, name), join(folder, name));
  copyFileSync(join(fixtures, list), join(folder, list));
}

export async function openListeners(site: Site): Promise<Stage['listeners']> {
  const { lab } = site;
  return {
    device: await Listener.open(lab, { namespace: site.inside, port: servicePort }),
    lan: await Listener.open(lab, { namespace: site.lan, port: servicePort }),
  };
}

// ── before ──────────────────────────────────────────────────────────────────────────────────────────────

export async function withoutPolicy(stage: Stage): Promise<void> {
  const { account, site, stubd } = stage;
  account.scene('Before there is a policy, everything gets through');
  for (const name of captures) {
    const { sent, passed } = replay(stage, name);
    account.claim(
      sent > 0 && passed === sent,
      `${passed} of ${sent} packets of ${name}.pcap pass through the device`,
    );
  }
  const flood = sendFromListed(stage);
  account.count(
    'listedBefore',
    { is: flood.passed, wanted: stage.listed.length },
    `${number(flood.passed)} of ${number(flood.sent)} packets pass, one from each listed address`,
  );
  await legitimate(stage);
  const tries = await stubd.next(2);
  account.claim(
    tries.every((one) => one === 'connected'),
    `the stub daemon opens its reverse connection to ${addresses.attacker}: ${tries.join(', ')}`,
  );
  account.say(`the device enforces nothing yet: in force is ${describe((await reported(site)).inForce)}`);
}

// ── a policy ────────────────────────────────────────────────────────────────────────────────────────────

export async function publishPolicy(stage: Stage): Promise<void> {
  const { account, site } = stage;
  account.scene('A policy is signed, published, verified, compiled, proven and put in force');
  const begun = performance.now();
  const result = await publishAndSettle(site, { files: [join(stage.policies, 'branch.yaml')] });
  const seconds = (performance.now() - begun) / 1000;
  account.note('publishSeconds', seconds);
  const { refusal } = result.assignment ?? {};
  if (refusal !== undefined) throw new Error(`the device refused it: ${refusal.code}: ${refusal.detail}`);
  account.claim(
    result.assignment?.result === 'confirmed',
    `the device confirmed serial ${result.assignment?.serial} over a new connection, ${seconds.toFixed(1)} s after it was published`,
  );
  account.say(`proven: ${result.proven}`);
  for (const hook of result.hooks) account.say(`hook: ${hook}`);
  const enforced = result.rules.filter((rule) => rule.state === 'enforced').map((rule) => rule.id);
  for (const id of ['branch/listed', 'branch/private', 'branch/telnet']) {
    account.claim(enforced.includes(id), `${id} is reported as enforced`);
  }
  const callHome = result.rules.find((rule) => rule.id === 'stubd/no-call-home');
  account.claim(
    callHome?.state === 'degraded',
    `stubd/no-call-home is reported with what this kernel's hooks leave open: ${callHome?.why}`,
  );
  account.note('kernelBytes', result.kernelBytes);
  account.say(
    `${number(stage.listed.length)} addresses; kernel memory of both generations ${mebibytes(result.kernelBytes)}`,
  );
}

export async function packetsDropped(stage: Stage): Promise<void> {
  const { account, site } = stage;
  account.scene('Real packets are dropped, by the kernel, before the device looks at them');
  const before = await hits(site, 'branch/private');
  let replayed = 0;
  for (const name of captures) {
    const { sent, passed } = replay(stage, name);
    replayed += sent;
    account.claim(passed === 0, `0 of ${sent} packets of ${name}.pcap pass through the device`);
  }
  account.count(
    'privateHits',
    { is: (await hits(site, 'branch/private')) - before, wanted: replayed },
    `the kernel counted ${replayed} of ${replayed} on rule branch/private`,
  );
  await floodDropped(stage, 'listedDropped');
  await legitimate(stage);
}

export async function callsDenied(stage: Stage): Promise<void> {
  const { account, site, stubd } = stage;
  account.scene('The stub daemon is denied its reverse connection, by the kernel, before a packet is made');
  const tries = await stubd.next(3);
  account.claim(
    tries.every((one) => one === 'EPERM'),
    `connect() in its cgroup is answered: ${tries.join(', ')}`,
  );
  const other = site.inside.run(process.execPath, ['-e', connectOnce]).trim();
  account.claim(other === 'connected', `a process outside of that cgroup still connects: ${other}`);
  const event = await waitFor(
    async () => (await site.controller.eventsOf(site.id, 'call')).find((one) => one.verdict === 'deny'),
    { what: 'the denial to arrive at the controller', withinMs: 30_000, everyMs: 300 },
  );
  account.claim(
    event.rule === 'stubd/no-call-home' && event.address.endsWith(addresses.attacker),
    `the controller heard of it: ${event.command} (pid ${event.pid}) ${event.call} to ${event.address} port ${event.port}, rule ${event.rule}`,
  );
}

// ── without the agent ───────────────────────────────────────────────────────────────────────────────────

export async function agentKilled(stage: Stage): Promise<void> {
  const { account, site, stubd } = stage;
  account.scene('The agent is killed with SIGKILL: the kernel goes on');
  const before = await hits(site, 'branch/listed');
  const serial = (await reported(site)).inForce?.serial;
  await site.device.kill('SIGKILL');
  account.claim(!site.device.program.running, 'the agent is dead');
  await floodDropped(stage, 'listedWithoutAgent');
  const tries = await stubd.next(2);
  account.claim(
    tries.every((one) => one === 'EPERM'),
    `connect() of the stub daemon is answered: ${tries.join(', ')}`,
  );
  await legitimate(stage);
  await startAgain(site);
  const after = await reported(site);
  account.claim(
    after.inForce?.serial === serial,
    `started again, it adopts what it finds: in force is ${describe(after.inForce)}`,
  );
  account.count(
    'hitsAfterRestart',
    { is: (await hits(site, 'branch/listed')) - before, wanted: stage.listed.length },
    `the counter of branch/listed went on counting meanwhile: ${number(stage.listed.length)} more`,
  );
}

// ── policies that cut the device off ────────────────────────────────────────────────────────────────────

export async function cutOff(stage: Stage): Promise<void> {
  await mistake(stage, {
    title: 'A policy cuts the device off from its controller: the device comes back by itself',
    file: 'cut-off.yaml',
    name: 'cutOffSeconds',
  });
}

export async function cutOffSlyly(stage: Stage): Promise<void> {
  const { account, site } = stage;
  const place = { from: site.inside, to: site.wan, address: addresses.neighbour, port: 4545 };
  const talker = await Talker.open(site.lab, place);
  await mistake(stage, {
    title: 'The sly kind: what is connected stays connected, and no new connection can be opened',
    file: 'cut-off-slyly.yaml',
    name: 'cutOffSlylySeconds',
  });
  const { echoes, failed, opened } = await talker.close();
  account.claim(
    echoes > 10 && failed > 3 && opened === 0,
    `in the trial ${echoes} answers came over a connection that was open, and 0 of ${failed} new ones could be opened`,
  );
}

async function mistake(
  stage: Stage,
  { title, file, name }: { title: string; file: string; name: string },
): Promise<void> {
  const { account, site } = stage;
  account.scene(title);
  const before = (await reported(site)).inForce;
  const begun = performance.now();
  const result = await publishAndSettle(site, { files: [join(stage.policies, file)], trialSeconds }, 90_000);
  const seconds = (performance.now() - begun) / 1000;
  account.note(name, seconds);
  account.claim(
    result.assignment?.result === 'returned',
    `serial ${result.assignment?.serial} was ${result.assignment?.result} (${result.assignment?.reason}) after ${seconds.toFixed(1)} s; its trial was ${trialSeconds} s`,
  );
  account.claim(
    result.inForce?.serial === before?.serial && result.inForce?.digest === before?.digest,
    `in force is what was before: ${describe(result.inForce)}`,
  );
  await legitimate(stage);
  await floodDropped(stage, `listedAfter-${name}`);
}

export async function cutOffAndKilled(stage: Stage): Promise<void> {
  const { account, site } = stage;
  account.scene('The same, and the agent is killed in the trial: the kernel returns by itself');
  const before = (await reported(site)).inForce;
  const serial = (await serialKnown(site)) + 1;
  const said = await site.controller.publish({ files: [join(stage.policies, 'cut-off.yaml')], trialSeconds });
  account.claim(said.code === 0, 'the policy is published');
  await waitFor(() => !neighbourReaches(stage), {
    what: 'the trial to begin',
    withinMs: 30_000,
    everyMs: 50,
  });
  const begun = performance.now();
  account.claim(true, 'the trial has begun: nothing from the neighbour reaches the device');
  await site.device.kill('SIGKILL');
  account.claim(!site.device.program.running, 'the agent is dead');
  await waitFor(() => neighbourReaches(stage), {
    what: 'the kernel to return',
    withinMs: 30_000,
    everyMs: 50,
  });
  const seconds = (performance.now() - begun) / 1000;
  account.note('kernelReturnSeconds', seconds);
  account.claim(
    seconds < trialSeconds + 2,
    `without an agent, the device is reachable again ${seconds.toFixed(1)} s into the trial of ${trialSeconds} s`,
  );
  await floodDropped(stage, 'listedAfterKernelReturn');
  await startAgain(site);
  const result = await settled(site, serial, 60_000);
  account.claim(
    result.assignment?.result === 'returned' && result.inForce?.serial === before?.serial,
    `started again, the agent reports: serial ${serial} ${result.assignment?.result} (${result.assignment?.reason}), in force is ${describe(result.inForce)}`,
  );
}

// ── what came of it ─────────────────────────────────────────────────────────────────────────────────────

export async function eventsHeard(stage: Stage): Promise<void> {
  const { account, site } = stage;
  account.scene('What the controller heard');
  const rows = await waitFor(
    async () => {
      const all = await site.controller.events(site.id, 'packet');
      return all.some((row) => row.event.kind === 'packet' && row.event.rule === 'branch/listed') && all;
    },
    { what: 'drops to arrive at the controller', withinMs: 30_000, everyMs: 300 },
  );
  const drops = new Map<string, number>();
  let lost = 0;
  for (const { event } of rows) {
    if (event.kind === 'packet') drops.set(`${event.rule}`, (drops.get(`${event.rule}`) ?? 0) + event.count);
    if (event.kind === 'gap') lost += event.lost;
  }
  for (const [rule, count] of drops) account.say(`${number(count)} packets dropped by ${rule}`);
  account.note('eventsLost', lost);
  account.say(
    `${number(lost)} more were over the events budget of the device; the rule counters have them all`,
  );
  account.claim((drops.get('branch/listed') ?? 0) > 0, 'drops of listed addresses are among the events');
  const denied = (await site.controller.eventsOf(site.id, 'call')).reduce((sum, one) => sum + one.count, 0);
  account.claim(denied > 0, `${number(denied)} calls denied`);
  const audits = (await site.controller.eventsOf(site.id, 'audit')).map((one) => one.what);
  for (const what of ['device.enrolled', 'bundle.confirmed', 'bundle.returned', 'agent.started']) {
    const times = audits.filter((one) => one === what).length;
    account.claim(times > 0, `${what}, ${times} ${times === 1 ? 'time' : 'times'}`);
  }
}

// ── helpers, in the order they were called ──────────────────────────────────────────────────────────────

interface Replayed {
  readonly sent: number;
  /** Came out of the device on the other side. */
  readonly passed: number;
}

function replay(stage: Stage, name: string): Replayed {
  const { frames } = readCapture(readFileSync(join(fixtures, 'pcap', `${name}.pcap`)));
  return sendThrough(stage, frames.filter(isUnicast));
}

/** The group bit of the receiver's MAC address is not set. */
function isUnicast(frame: Buffer): boolean {
  return ((frame[0] ?? 0) & 1) === 0;
}

/** To a port that somebody listens on: a host that answers "unreachable" would add to what is passed on. */
function sendFromListed(stage: Stage): Replayed {
  const frames = stage.listed.map((from) =>
    udpFrame({ from, to: addresses.lanHost, fromPort: 4444, toPort: servicePort }),
  );
  return sendThrough(stage, frames);
}

function sendThrough({ site }: Stage, frames: readonly Buffer[]): Replayed {
  const before = site.inside.ipForwarded();
  const toDevice = sentTo(site.inside.macOf('wan0'), frames);
  const sent = send(site.lab, { from: site.wan, interface: 'up0', frames: toDevice, packetsPerSecond });
  return { sent, passed: site.inside.ipForwarded() - before };
}

/** Traffic that no policy here minds: to the device over both families, and through it. */
async function legitimate(stage: Stage): Promise<void> {
  const { account, site, listeners } = stage;
  const each = 500;
  const ports = { fromPort: 4000, toPort: servicePort };
  const frames = [
    udpFrame({ ...ports, from: addresses.neighbour, to: addresses.device }),
    udpFrame({ ...ports, from: addresses.neighbour6, to: addresses.device6 }),
    udpFrame({ ...ports, from: addresses.neighbour, to: addresses.lanHost }),
  ];
  const before = { device: await listeners.device.count(), lan: await listeners.lan.count() };
  const toDevice = sentTo(site.inside.macOf('wan0'), frames);
  const sending = {
    from: site.wan,
    interface: 'up0',
    frames: toDevice,
    loop: each,
    packetsPerSecond: 20_000,
  };
  const sent = send(site.lab, sending);
  const device = (await listeners.device.count()) - before.device;
  const lan = (await listeners.lan.count()) - before.lan;
  account.claim(
    sent === 3 * each && device === 2 * each && lan === each,
    `legitimate traffic passes: ${device} of ${2 * each} datagrams to the device over IPv4 and IPv6, ${lan} of ${each} to a host behind it`,
  );
}

async function floodDropped(stage: Stage, name: string): Promise<void> {
  const { account, site } = stage;
  // The counters are the kernel's, but it is the agent who can be asked for them.
  const canAsk = site.device.program.running;
  const before = canAsk ? await hits(site, 'branch/listed') : 0;
  const { sent, passed } = sendFromListed(stage);
  const dropped = sent - passed;
  account.count(
    name,
    { is: dropped, wanted: stage.listed.length },
    `${number(dropped)} of ${number(sent)} packets from listed addresses are dropped`,
  );
  if (!canAsk) return;
  account.count(
    `${name}Hits`,
    { is: (await hits(site, 'branch/listed')) - before, wanted: sent },
    `the kernel counted ${number(sent)} on rule branch/listed`,
  );
}

async function hits(site: Site, rule: string): Promise<number> {
  return (await ruleHits(site, rule)) ?? 0;
}

async function reported(site: Site): Promise<Reported> {
  const { reported } = await site.controller.device(site.id);
  if (reported === null) throw new Error('the device has reported nothing');
  return reported;
}

const connectOnce = `
  const socket = require('node:net').connect(4444, '${addresses.attacker}');
  socket.on('connect', () => { console.log('connected'); socket.destroy(); });
  socket.on('error', (error) => console.log(error.code));`;

/** Whether one datagram from the neighbour comes out of the device on the other side. */
function neighbourReaches({ site }: Stage): boolean {
  const before = site.inside.ipForwarded();
  const frame = udpFrame({
    from: addresses.neighbour,
    to: addresses.lanHost,
    fromPort: 4001,
    toPort: servicePort,
  });
  const frames = sentTo(site.inside.macOf('wan0'), [frame]);
  send(site.lab, { from: site.wan, interface: 'up0', frames });
  return site.inside.ipForwarded() > before;
}

function describe(inForce: Reported['inForce']): string {
  return inForce === null
    ? 'the built-in baseline'
    : `serial ${inForce.serial}, ${inForce.digest.slice(0, 12)}…`;
}

function number(value: number): string {
  return value.toLocaleString('en-US');
}

function mebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}
