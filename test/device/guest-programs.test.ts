// Goal: on the kernels that devices have, the real programs load and do what the policy says.
// Method: Debian's kernels in an emulator, one after another. In each, every object is loaded alone; then the agent's
// own code compiles a policy, fills a slot, proves it and attaches, and what is dropped and what passes is counted by
// who receives it, on the other end of a wire. guest/packet-programs.ts is the part inside.

import t, { type Test } from 'tap';
import { objects } from '../../agent/kernel/objects.ts';
import { type Guest, guestMissing } from './guest.ts';
import { builtObjects, guestPrograms, packetPrograms, programMissing, told } from './guest-programs.ts';
import { type CloudKernelName, kernelNames } from './kernels.ts';
import { loadObjects } from './load-objects.ts';
import { bootFor, playIn } from './play.ts';
import { type Scene, scene, sceneOf } from './scenes.ts';

/** Instructions processed; as test/bpf/verifier.test.ts holds it on this machine's kernel. */
const instructionsMax = 250_000;
/** What each kernel is known to have; a guest with another kernel than the one meant would show here. */
const expected: Readonly<
  Record<CloudKernelName, { readonly hasTcx: boolean; readonly tellsInstructions: boolean }>
> = {
  '5.10': { hasTcx: false, tellsInstructions: false },
  '6.1': { hasTcx: false, tellsInstructions: true },
  '6.12': { hasTcx: true, tellsInstructions: true },
};

// A minute on an idle machine, three on a busy one.
t.setTimeout(600_000);

for (const name of kernelNames) {
  t.test(`Debian's ${name}`, { skip: programMissing() || guestMissing(name) }, async (t) => {
    const files = await guestPrograms('load-objects', ...packetPrograms);
    const guest = await bootFor(t, name, files);
    await t.test('every object loads', (t) => objectsLoad(t, guest, name));
    const result = await playIn(t, guest, 'packet-programs', 120_000);
    const scenes = told(result, scene);
    const of = <Name extends Scene['scene']>(name: Name) => sceneOf(scenes, name);

    await t.test('the agent makes its set and attaches every hook', (t) => {
      const opened = of('opened');
      t.comment(`the whole set loaded in ${opened.ms} ms`);
      t.ok(opened.release.startsWith(`${name}.`), opened.release);
      t.equal(opened.how, 'made');
      t.equal(opened.hasTcx, expected[name].hasTcx, 'TCX');
      const { hooks } = of('attached');
      t.strictSame(
        hooks.filter(({ action }) => action !== 'made'),
        [],
      );
      const egress = expected[name].hasTcx ? 'tcx' : 'clsact';
      const names = hooks.map(({ description }) => description);
      for (const wanted of [
        'xdp_ingress hk0 native',
        `tc_egress hk0 ${egress}`,
        'connect4 /sys/fs/cgroup/husk',
      ])
        t.ok(names.includes(wanted), `${wanted} in ${names.join(', ')}`);
      t.end();
    });

    await t.test('a policy is proven, and drops what it lists and nothing else', (t) => {
      const all = [20, 20, 20, 20];
      t.strictSame(of('empty').inwards, all, 'an empty slot lets all in');
      t.strictSame(of('empty').outwards, all, 'and out');
      const { packets, calls, untried } = of('proven');
      t.ok(packets > 0, `${packets} packets`);
      t.ok(calls > 0, `${calls} calls`);
      t.strictSame(untried, []);
      t.strictSame(of('guarded').inwards, [0, 0, 20, 20], 'inwards');
      t.strictSame(of('guarded').outwards, [0, 0, 20, 20], 'outwards');
      const { hits } = of('counted');
      t.equal(hits['wire/listed'], 40, 'both families are counted');
      t.equal(hits['wire/no-7001'], 40);
      t.end();
    });

    await t.test('calls of a service are denied, those of others are not', (t) => {
      const { within, without } = of('calls');
      for (const call of ['tcp 192.0.2.20', 'udp 192.0.2.20', 'tcp 2001:db8::20', 'udp 2001:db8::20']) {
        t.equal(within[call], 'EPERM', `${call} within`);
        t.equal(without[call], call.startsWith('tcp') ? 'ECONNREFUSED' : 'ok', `${call} without`);
      }
      for (const call of ['tcp 127.0.0.1', 'tcp ::1'])
        t.equal(within[call], 'ECONNREFUSED', `${call} within`);
      for (const call of ['udp 127.0.0.1', 'udp ::1']) t.equal(within[call], 'ok', `${call} within`);
      t.equal(of('counted').hits['stubd/no-call-home'], 4);
      t.end();
    });

    await t.test('a trial that runs out goes back by itself', (t) => {
      const { during, after, inTrial, serial } = of('trial');
      t.strictSame(during, [0, 0, 0, 0], 'shut while it runs');
      t.strictSame(after, [0, 0, 20, 20], 'as before when it is over');
      t.equal(inTrial, false);
      t.equal(serial, 1);
      t.end();
    });

    t.equal(of('unloaded').isPinned, false);
  });
}

/** All that the agent loads must load; what else was built, as for newer kernels, may, and is told. */
async function objectsLoad(t: Test, guest: Guest, name: CloudKernelName): Promise<void> {
  // What hardening takes is loaded by hardening.test.ts, where the kernel has what it needs: it takes a minute.
  const loads = await loadObjects(
    guest,
    builtObjects()
      .filter((file) => !/^(guard_|lineage)/.test(file))
      .map((file) => `/husk/build/bpf/${file}`),
  );
  const needed = Object.keys(objects).map((object) => `${object}.bpf.o`);
  const loaded = new Map<string, number>();
  for (const one of loads) {
    if ('refused' in one) {
      if (needed.includes(one.object)) t.fail(`${one.object}: ${one.refused}`, { log: one.log });
      else t.comment(`${one.object} is refused: ${one.refused}`);
      continue;
    }
    t.comment(`${one.object}: ${one.ms} ms`);
    for (const program of one.programs) loaded.set(program.name, program.instructions);
  }
  for (const program of Object.values(objects).flat()) {
    const instructions = loaded.get(program);
    if (instructions === undefined) {
      t.fail(`${program} was not loaded`);
      continue;
    }
    const isTold = expected[name].tellsInstructions;
    t.ok(
      isTold ? instructions > 0 && instructions < instructionsMax : instructions === 0,
      `${program}: ${isTold ? instructions : 'loaded'}`,
    );
  }
}
