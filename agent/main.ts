// Where everything is built and joined. No other file makes its own collaborators.
//
// The order of a start is a promise: what was confirmed is enforced before anything is connected.
//
//   configuration ─▶ log ─▶ lock ─▶ spool ─▶ kernel adopted or loaded ─▶ hooks attached
//     ─▶ last confirmed bundle in force ─▶ events ─▶ enrolled ─▶ session ─▶ flows
//
// SIGTERM stops the flows in the reverse order, says goodbye, and leaves enforcement in place.

import { join } from 'node:path';
import type { Addon } from '../native/index.ts';
import { QueryAnswerer } from './answer-query.ts';
import { BundleApplier, type Step } from './apply-bundle.ts';
import { findBelongings } from './belongings.ts';
import type { ControlAsk, PermitEnvelope, Row } from './cli/control.ts';
import { AlreadyRunning, ControlServer } from './cli/control-server.ts';
import { storeFolder } from './cli/offline.ts';
import { runCommand } from './cli/program.ts';
import { readBundleFolder } from './cli/verify.ts';
import type { Config } from './config.ts';
import type { Join } from './contract/enrollment.ts';
import { envelopeKinds } from './contract/envelope.ts';
import { streams } from './contract/event.ts';
import { permitPurposes } from './contract/permit.ts';
import { RefusalError } from './contract/refusal.ts';
import { describeDevice } from './describe-device.ts';
import { readDevice, timeNow } from './device-now.ts';
import { devicePaths } from './device-paths.ts';
import { makeAudit } from './events/audit.ts';
import { shieldNamed } from './events/findings.ts';
import { Spool } from './events/spool.ts';
import { DeviceFollower } from './follow-device.ts';
import { followTime } from './follow-time.ts';
import { type JoinParts, joinFleet } from './join-fleet.ts';
import { Floor } from './kernel/floor.ts';
import { findNft } from './kernel/floor-table.ts';
import { Kernel } from './kernel/kernel.ts';
import type { Belongings } from './kernel/self-guard.ts';
import { tryKernel } from './kernel/try-kernel.ts';
import { LaunchFiles } from './launch-files.ts';
import { askConfirmation } from './link/confirm-trial.ts';
import { EnrollmentChannel } from './link/enrollment-channel.ts';
import { fetchBundle } from './link/fetch-bundle.ts';
import type { Incoming } from './link/inbox.ts';
import { Session } from './link/session.ts';
import { SessionMemory } from './link/session-memory.ts';
import { PolicyMaker } from './make-policy.ts';
import { withControllers } from './never-drop.ts';
import { readTrialFiles } from './os/assets.ts';
import { buildMs, version } from './os/build-info.ts';
import { type Clock, SystemClock } from './os/clock.ts';
import { DiskFiles, type Files } from './os/files.ts';
import { readFirmware } from './os/firmware.ts';
import { makeLog } from './os/log.ts';
import { findHardwareId, hardwareIdOfMac, readMachine } from './os/machine.ts';
import { runWithMoreHeap } from './os/more-heap.ts';
import { readPreemption } from './os/preemption.ts';
import { systemRandom } from './os/random.ts';
import { readSynCookies } from './os/syn-cookies.ts';
import { ceilingLeast, ceilingPart } from './policy/kernel-memory.ts';
import type { LaunchPlan } from './policy/launch-rules.ts';
import { taskWords, traitWords } from './policy/operation-words.ts';
import { appletNumber, placeNumber } from './policy/path-number.ts';
import { zoneNameOf } from './policy/policy-zones.ts';
import { remediationOf } from './policy/remediation.ts';
import { isTierAtLeast } from './policy/rule-tier.ts';
import { executablesOf } from './policy/subjects.ts';
import {
  findCgroup,
  hardeningRoot,
  joinEndpoints,
  prepareBpffs,
  readGuards,
  readIpsecByPolicy,
  readJoin,
  readObjects,
  readOptionalObject,
  readPppoeSessions,
  readSelfGuard,
  stepClockIfAsked,
  watchInterfaces,
} from './prepare-device.ts';
import {
  prepareCommand,
  prepareElsewhere,
  prepareLeast,
  preparePart,
  servePrepare,
} from './prepare-elsewhere.ts';
import { runView } from './query/views.ts';
import { StateReporter } from './report-state.ts';
import { type EventStream, streamEvents } from './stream-events.ts';
import { takePermit } from './take-permit.ts';
import { deviceTier, guardTierOf, passedOver, recursionFunction } from './tier.ts';
import { type Identity, IdentityStore, trustSigners } from './trust/identity.ts';
import { parseEndpoint } from './trust/join.ts';
import type { Trusted } from './trust/keys.ts';
import { fetchPinnedAuthority } from './trust/pinned-authority.ts';
import { BundleStore } from './trust/store.ts';
import { verifyAssignment, verifyBundle } from './trust/verify.ts';

/** How often `events --follow` looks for new ones. */
const followEveryMs = 250;

async function run(
  config: Config,
  configPath: string,
  openAddon: () => Promise<Addon>,
  files: Files,
): Promise<number> {
  const log = makeLog(config.log.level);
  // A broken invariant of ours: say it where the rest is said, and let the supervisor start us anew.
  process.once('uncaughtException', (error) => {
    log.fatal({ error }, 'agent: ended by a fault of its own, enforcement stays');
    process.exit(1);
  });
  const stop = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stop.abort());
  const machine = readMachine();
  const addon = await openAddon();
  const bootMs = () => Number(addon.bootNs() / 1_000_000n);
  const clock = new SystemClock({ bootMs, systemMs: Date.now });
  clock.learn(buildMs, 'floor');
  log.info(
    { version, kernel: machine.kernel, boot: machine.bootId, libbpf: addon.libbpfVersion },
    'agent: starting',
  );

  let control: ControlServer;
  try {
    control = await ControlServer.open(files, config.runDirectory, log);
  } catch (error) {
    if (!(error instanceof AlreadyRunning)) throw error;
    log.fatal(error.message);
    return 1;
  }
  files.makeFolder(config.stateDirectory);
  const spool = Spool.open({
    folder: join(config.stateDirectory, 'spool'),
    bytesMax: config.spool.bytesMax,
    bootId: machine.bootId,
    clock,
    log,
  });
  let events: EventStream | null = null;
  const audit = (what: string, detail: Readonly<Record<string, string | number | boolean | null>>) => {
    if (events === null) spool.append('audit', makeAudit(what, detail));
    else events.audit(what, detail);
  };

  // ── the kernel: enforcing before anything is connected ────────────────────────────────────────────────

  const features = addon.probe();
  const random = (bytes: number) => systemRandom.bytes(bytes);
  const trials = await tryKernel({ addon, files: readTrialFiles(), random });
  const cgroup = hardeningRoot(config, addon, log);
  prepareBpffs(config.bpffs, addon, log);
  const sizes = { ...config.limits, limits: config.limits.buckets, cpus: addon.possibleCpus() };
  const kernel = await Kernel.open({
    addon,
    bpffs: config.bpffs,
    files: readObjects(),
    guards: config.hardening?.tasks === true ? readGuards(guardTierOf(trials), log) : null,
    self: selfGuard(),
    scratch: config.runDirectory,
    cgroup,
    sizes,
    random,
    onRecycled: ({ id, hits, bytes }) =>
      audit('counter.recycled', { rule: id, hits: Number(hits), bytes: Number(bytes) }),
  });
  if (kernel.guards !== null)
    log.info(
      { tier: kernel.guards.tier, how: kernel.guards.how, hooks: kernel.guards.hooks.length },
      'guards: attached',
    );
  else if (kernel.guardsWhy !== '') log.error({ why: kernel.guardsWhy }, 'guards: none');
  if (kernel.self !== null)
    log.info({ how: kernel.self.how, missing: kernel.self.missing }, 'self-protection: on');
  else if (kernel.guards !== null) log.warn({ why: kernel.selfWhy }, 'self-protection: none');
  kernel.setPacketEventsPerSecond(config.events.packetPerSecond);
  const { store, damage } = BundleStore.open(files, storeFolder(config));
  if (damage !== null) {
    log.error({ damage }, 'the record of bundles was damaged and is set aside');
    audit('bundle.record-damaged', { damage });
  }

  const who = { tenant: '', device: '' };
  let trusted: Trusted | null = null;
  const identities = new IdentityStore(files, join(config.stateDirectory, 'identity'));
  /** Ways to the controller, which no policy is to cut. */
  const endpoints = new Set<string>(joinEndpoints(config, files, log));
  const become = (identity: Identity) => {
    endpoints.add(identity.broker);
    who.tenant = identity.tenant;
    who.device = identity.device;
    trusted = trustSigners(identity);
  };
  const known = identities.load();
  if (known !== null) become(known);

  const deviceNow = () =>
    readDevice({
      interfaces: () => addon.interfaces(),
      pppoe: readPppoeSessions,
      patterns: config.interfaces,
      neverDrop: () => withControllers(config.neverDrop, [...endpoints]),
    });
  /** Where paths are now, for policies of what tasks do; nothing where no program judges that. */
  const pathsNow = () => (kernel.guards === null ? null : devicePaths(kernel.guards.pathKey));
  const tierNow = () => (cgroup === null ? 'D' : deviceTier(kernel.guards?.tier ?? null, trials));
  const programNumbers = () => {
    const key = kernel.guards?.pathKey;
    if (key === undefined) return null;
    return {
      placeNumber: (place: Parameters<typeof placeNumber>[0]) => placeNumber(place, key),
      nameNumber: (name: string) => appletNumber(name, key),
    };
  };
  const cgroupId = (path: string) => findCgroup(addon, cgroup, path);
  const firmware = readFirmware(files, config.firmware);
  log.info({ ...firmware }, 'firmware');
  let changed = () => {};
  const maker = new PolicyMaker({
    tenant: () => who.tenant,
    kernel,
    prepare: prepareElsewhere(
      config.limits.prepareBytesMax ?? Math.max(prepareLeast, Math.floor(machine.memoryBytes / preparePart)),
    ),
    device: () => deviceNow().view,
    cgroupId,
    time: () => timeNow(clock),
    certainMs: () => clock.certainMs(),
    firmware,
    tier: tierNow,
    paths: pathsNow,
    memory: {
      sizes,
      ceiling:
        config.limits.kernelBytesMax ?? Math.max(ceilingLeast, Math.floor(machine.memoryBytes / ceilingPart)),
    },
  });
  const applier = new BundleApplier({
    we: who,
    trusted: () => {
      if (trusted === null)
        throw new RefusalError('bundle.signature', 'this device is not enrolled: it trusts nobody');
      return trusted;
    },
    store,
    kernel,
    maker,
    trial: config.trial,
    bootId: machine.bootId,
    clock,
    random: systemRandom,
    log,
    beforeSwap: (zones) => follower.prepare(zones),
    onStep: stopAtStep,
    onChange: () => {
      changed();
      follower.wake();
    },
    audit,
  });
  const floor = new Floor({
    addon,
    bpffs: config.bpffs,
    object: readOptionalObject('floor'),
    nft: findNft(),
  });
  const follower: DeviceFollower = new DeviceFollower({
    kernel,
    applier,
    floor,
    device: deviceNow,
    ipsecByPolicy: () => readIpsecByPolicy(addon),
    cgroupId,
    xdpMode: config.xdpMode,
    tc: features.tcx === 0 ? 'tcx' : 'clsact',
    onChange: () => changed(),
    clock,
    log,
  });
  // Hooks first: a canary proves only what runs. Until the next line the baseline, or what was adopted, is in force.
  await follower.look();
  await applier.start();
  // Now that the policy is known, so are the interfaces that it judges.
  await follower.look();
  const watch = watchInterfaces(addon, log, () => follower.wake());
  audit('agent.started', {
    version,
    programs: kernel.status().how,
    serial: applier.state().inForce?.serial ?? 0,
  });

  // ── what it says of itself, and who asks on the device ────────────────────────────────────────────────

  const launch = new LaunchFiles(files, { state: config.stateDirectory, run: config.runDirectory }, log);
  const nothing: readonly LaunchPlan[] = [];
  /** Not in a trial, nor where programs refuse: what a launcher takes can't be given back. */
  const settleLaunch = () => {
    const { inForce, image } = applier.state();
    if (kernel.status().inTrial) return;
    launch.settle(inForce?.serial ?? 0, isTierAtLeast(tierNow(), 'B') ? nothing : (image?.launch ?? nothing));
  };
  settleLaunch();
  let session: Session | null = null;
  const device = describeDevice({
    version,
    machine,
    tier: tierNow(),
    firmware,
    passedOver: passedOver(kernel.guards?.tier ?? null, {
      preemption: readPreemption(),
      leavesLsmOut: addon.kernelFunctions([recursionFunction]).length === 0,
    }),
    launched: () => launch.held(),
    who,
    kernel,
    applier,
    spool,
    clock,
    interfaces: () => addon.interfaces(),
    ipsecByPolicy: () => readIpsecByPolicy(addon),
    floor: () => floor.state(),
    synCookies: readSynCookies,
    link: () => session?.status() ?? null,
    counts: () => ({ ...events?.counts(), ...answerer.counts() }),
    drops: () => events?.drops() ?? [],
  });
  const answerer = new QueryAnswerer({
    source: device.source,
    send: async (who, part) => {
      if (session === null) return;
      await session.send({ topic: session.topics.answer(who), kind: envelopeKinds.answer, body: part });
    },
    clock,
    log,
  });
  const reporter = new StateReporter({
    state: device.reported,
    send: async (body) => {
      if (session === null) return;
      await session.send({
        topic: session.topics.reported,
        kind: envelopeKinds.reported,
        body,
        retain: true,
      });
    },
    clock,
    log,
  });
  changed = () => {
    settleLaunch();
    reporter.changed();
  };

  const named: { image: unknown; paths: readonly string[] } = { image: null, paths: [] };
  const executablesNow = () => {
    const { image } = applier.state();
    if (named.image !== image) {
      named.image = image;
      named.paths = executablesOf(image?.following.operations?.subjects ?? []);
    }
    return named.paths;
  };
  events = streamEvents({
    rings: { packet: kernel.packetRing, call: kernel.callRing },
    repeats: kernel.repeats,
    addon,
    kernelNames: {
      ruleName: (index) => kernel.ruleName(index),
      interfaces: () => addon.interfaces(),
      operationWords: { operations: taskWords, traits: traitWords },
      programNumbers: programNumbers(),
      executables: executablesNow,
      tier: kernel.guards?.tier ?? null,
      shieldOf: (document) => shieldNamed(applier.state().documents, document),
      remediation: remediationOf,
      zoneName: (name) => zoneNameOf(applier.state().image?.zones ?? [], name),
    },
    totals: () => kernel.totals(),
    spool,
    publish: async (body) => {
      if (session === null) throw new Error('there is no session yet');
      const key = `${body.stream} ${body.events[0]?.seq}-${body.events.at(-1)?.seq}`;
      await session.send({ topic: session.topics.events, kind: envelopeKinds.events, body, key });
    },
    clock,
    random: systemRandom,
    log,
  });

  control.serve(async function* (ask, gone, by): AsyncGenerator<Row> {
    if (by !== 'login') usePermit(by.permit, ask.ask);
    switch (ask.ask) {
      case 'unprotect': {
        const isProtected = kernel.openSelf(ask.seconds, by === 'login' ? 'logins' : 'all');
        audit('self.unprotected', { seconds: ask.seconds, permit: by !== 'login' });
        yield { unprotected: isProtected, seconds: ask.seconds };
        return;
      }
      case 'query':
        yield* await runView(ask.view, ask.args, device.source);
        return;
      case 'return':
        yield { returned: await applier.returnToPrevious() };
        return;
      case 'follow':
        yield* newEvents(spool, clock, AbortSignal.any([gone, stop.signal]));
        return;
      case 'apply':
        yield* applyFolder(ask.folder, gone);
        return;
    }
  });

  // ── the fleet ─────────────────────────────────────────────────────────────────────────────────────────

  const flows = [
    follower.run(stop.signal),
    followTime({ applier, onChange: () => changed(), clock }, stop.signal),
    reporter.run(stop.signal),
    joinAndTalk().catch((error: unknown) => {
      if (!stop.signal.aborted) throw error;
    }),
  ];
  const failure = await Promise.race([Promise.all(flows).then(() => null), stopped(stop.signal)]).catch(
    (error: unknown) => ({ error }),
  );
  if (failure !== null) log.fatal({ error: failure.error }, 'agent: a flow ended');

  // ── the end: what began last stops first ──────────────────────────────────────────────────────────────

  stop.abort();
  audit('agent.stopped', { failed: failure !== null });
  await applier.close();
  await events.close();
  await Promise.allSettled(flows);
  await control.close();
  await spool.close();
  watch?.close();
  floor.close();
  kernel.close();
  log.info('agent: stopped, enforcement stays');
  return failure === null ? 0 : 1;

  /** Throws RefusalError where it is none for this. */
  function usePermit(permit: PermitEnvelope, what: ControlAsk['ask']): void {
    const purpose = permitPurposes.find((one) => one === what);
    if (purpose === undefined) throw new RefusalError('permit.purpose', `there are no permits for ${what}`);
    if (trusted === null)
      throw new RefusalError('bundle.signature', 'this device is not enrolled: it trusts nobody');
    const { runDirectory } = config;
    const parts = { files, runDirectory, trusted, we: who, bootId: machine.bootId, clock };
    const id = takePermit(parts, permit, purpose);
    audit('permit.used', { permit: id, purpose });
  }

  /** Nothing where it is off, or where this kernel can't. */
  function selfGuard(): { file: Uint8Array; belongings: Belongings } | null {
    const file = config.selfProtection === 'off' ? null : readSelfGuard(guardTierOf(trials), log);
    return file === null ? null : { file, belongings: findBelongings({ config, configPath }) };
  }

  async function joinAndTalk(): Promise<void> {
    stepClockIfAsked(config, clock, log);
    const identity = await joinFleet(
      {
        store: identities,
        join: () => readJoin(config, files),
        hardwareId:
          findHardwareId(config.hardwareId ?? undefined) ??
          hardwareIdOfMac(addon.interfaces()) ??
          machine.hostname,
        hostname: machine.hostname,
        reach: reachListener,
        pause: {
          baseMs: config.link.reconnectSeconds.minimum * 1000,
          maxMs: config.link.reconnectSeconds.maximum * 1000,
        },
        clock,
        random: systemRandom,
        log,
      },
      stop.signal,
    );
    if (known === null) audit('device.enrolled', { tenant: identity.tenant, device: identity.device });
    become(identity);
    const made = new Session({
      endpoint: parseEndpoint(identity.broker),
      credentials: identity,
      ...who,
      keepaliveSeconds: config.link.keepaliveSeconds,
      reconnect: {
        baseMs: config.link.reconnectSeconds.minimum * 1000,
        maxMs: config.link.reconnectSeconds.maximum * 1000,
      },
      bootId: machine.bootId,
      memory: new SessionMemory(files, join(config.stateDirectory, 'link.json'), log),
      clock,
      random: systemRandom,
      log,
      birth: device.birth,
    });
    session = made;
    made.listen(receive);
    made.onUp(() => {
      reporter.connected();
      events?.connected();
    });
    const tools = { session: made, tenant: who.tenant, clock, random: systemRandom };
    applier.connect({
      reconnect: (signal) => made.reconnect(signal),
      fetchBundle: (digest, bytes, signal) => fetchBundle(tools, digest, bytes, signal),
      askConfirmation: (ask, signal) => askConfirmation(tools, ask, signal),
    });
    await made.run(stop.signal);
  }

  function receive(message: Incoming): void {
    switch (message.kind) {
      case 'desired':
        if (message.bytes !== null) applier.offer(message.bytes);
        return;
      case 'query':
        void answerer.answer(message.query);
        return;
      case 'bad-query':
        void answerer.refuse(message, message.refusal);
        return;
      case 'spooled':
        events?.acknowledge(message.acknowledgement);
        return;
      case 'confirmed':
      case 'part':
        // Whoever waits for it listens himself.
        return;
      case 'unreadable':
        return;
    }
  }

  /** As if it had come over the link; ends when the flow is done with it. */
  async function* applyFolder(folder: string, gone: AbortSignal): AsyncGenerator<Row> {
    if (trusted === null)
      throw new RefusalError('bundle.signature', 'this device is not enrolled: it trusts nobody');
    const bundle = readBundleFolder(files, folder);
    const assignment = verifyAssignment(bundle.assignment, trusted, who);
    verifyBundle(assignment, bundle.bundle);
    const { serial, digest } = assignment;
    store.keep({ serial, digest }, bundle);
    applier.offer(bundle.assignment);
    for (;;) {
      if (applier.refusedOffer !== null)
        throw new RefusalError(applier.refusedOffer.code, applier.refusedOffer.detail);
      const { assignment, inForce } = applier.state();
      const settled = !['fetching', 'verified', 'trial'].includes(assignment?.result ?? 'fetching');
      if (assignment !== null && assignment.serial >= serial && settled) {
        yield { ...assignment };
        return;
      }
      if (inForce?.serial === serial && assignment?.result === 'confirmed') return;
      await clock.sleep(followEveryMs, gone);
    }
  }
}

/** Rows for `events --follow`: what the spool's tail shows beyond what was there before. */
async function* newEvents(spool: Spool, clock: Clock, signal: AbortSignal): AsyncGenerator<Row> {
  const seen = new Map(streams.map((stream) => [stream, spool.lastSeq(stream)]));
  while (!signal.aborted) {
    for (const event of spool.tail(1000)) {
      if (event.seq <= (seen.get(event.stream) ?? 0)) continue;
      seen.set(event.stream, event.seq);
      yield { ...event };
    }
    await clock.sleep(followEveryMs, signal).catch(() => {});
  }
}

/** How to reach the enrollment listener that a join line names. */
function reachListener(join: Join): ReturnType<JoinParts['reach']> {
  const endpoint = parseEndpoint(join.enroll);
  return {
    authority: (signal) => fetchPinnedAuthority(endpoint, join.authority, signal),
    open: (authority, client, signal) =>
      EnrollmentChannel.open({ endpoint, authority, tenant: join.tenant, claim: join.token, client }, signal),
  };
}

/** For fault tests: HUSK_STOP_AT names a step, and the process stops itself in it, to be killed there. */
function stopAtStep(step: Step): void {
  if (process.env.HUSK_STOP_AT === step) process.kill(process.pid, 'SIGSTOP');
}

function stopped(signal: AbortSignal): Promise<null> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve(null);
    signal.addEventListener('abort', () => resolve(null), { once: true });
  });
}

async function main(): Promise<void> {
  // `husk-agent probe | head`: a reader who has seen enough is no failure; a full disk is one.
  process.stdout.on('error', ({ code }: NodeJS.ErrnoException) => {
    if (code !== 'EPIPE') process.stderr.write(`husk-agent: standard output: ${code}\n`);
    process.exit(code === 'EPIPE' ? 0 : 1);
  });
  if (process.argv[2] === prepareCommand) {
    process.exitCode = await servePrepare(process.stdin, process.stdout);
    return;
  }
  if (['judge', 'verify'].includes(process.argv[2] ?? '')) {
    const status = runWithMoreHeap(process.argv.slice(2));
    if (status !== null) {
      process.exitCode = status;
      return;
    }
  }
  const files = new DiskFiles();
  const addon = async () => (await import('../native/index.ts')).addon;
  process.exitCode = await runCommand(process.argv.slice(2), {
    files,
    addon,
    run: (config, path) => run(config, path, addon, files),
    out: (text) => process.stdout.write(text),
    complain: (text) => process.stderr.write(text),
    input: process.stdin,
    interrupted: () => {
      const interrupt = new AbortController();
      for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => interrupt.abort());
      return interrupt.signal;
    },
    isTerminal: process.stdin.isTTY === true,
  });
}

void main();
