// Goal: with a Mosquitto of the site's own in place of the broker built in, everything of the spine works:
// enrollment, publishing, trial and return, questions, events; and its restart is only an outage.
// Method: Debian's mosquitto with the configuration that `husk broker-config mosquitto` writes, the controller
// as one of its clients, and the same looks by packets and calls as with the embedded one.

import t from 'tap';
import { Controller } from '../lab/controller.ts';
import { executablesMissing } from '../lab/executables.ts';
import { Lab, labMissing } from '../lab/lab.ts';
import { mosquittoMissing } from '../lab/played-fleet.ts';
import { addresses, enrol, layGround, publishAndSettle, type Site } from '../lab/site.ts';
import { waitFor } from '../lab/wait-for.ts';
import { ParityProbe, writePolicy } from './parity.ts';

// One file is one process; `node FILE` would give it half a minute.
t.setTimeout(300_000);
const skip = labMissing() || executablesMissing() || mosquittoMissing();

t.test('Mosquitto as the broker', { skip, timeout: 200_000 }, async (t) => {
  const lab = await Lab.open();
  t.teardown(() => lab.close());
  const ground = layGround(lab);
  const controller = await Controller.start(lab, {
    namespace: ground.wan,
    address: addresses.controller,
    broker: 'mosquitto',
  });
  const { device, id } = await enrol(lab, ground, controller);
  const site: Site = { lab, ...ground, controller, device, id };
  const probe = await ParityProbe.open(site);
  t.equal((await controller.device(id)).state, 'up', 'a device enrolls through it');

  const first = await publishAndSettle(site, { files: [probe.files.odd], trialSeconds: 10 });
  t.equal(first.assignment?.result, 'confirmed');
  t.equal(await probe.see(), 'odd');

  const rules = ['{ id: cut, protocol: tcp, tcpFlags: { set: [syn], unset: [ack] }, action: drop }'];
  const cut = writePolicy(lab, 'cut', { port: 7002, egress: rules });
  const second = await publishAndSettle(site, { files: [cut], trialSeconds: 3 });
  t.equal(second.assignment?.result, 'returned');
  t.equal(await probe.see(), 'odd');

  t.equal((await controller.query(id, 'status')).length, 1, 'questions are answered');
  probe.calls();
  const told = async () => (await controller.eventsOf(id, 'call')).length > 0;
  await t.resolves(waitFor(told, { what: 'the denial', withinMs: 20_000, everyMs: 200 }), 'events arrive');

  await t.test('it is restarted', async (t) => {
    const before = (await controller.eventsOf(id, 'call')).reduce((sum, one) => sum + one.count, 0);
    await controller.mosquitto.stop('SIGKILL');
    for (let count = 0; count < 5; count++) probe.calls();
    await controller.startMosquitto();
    const all = async () =>
      (await controller.eventsOf(id, 'call')).reduce((sum, one) => sum + one.count, 0) >= before + 5;
    await t.resolves(waitFor(all, { what: 'what was denied meanwhile', withinMs: 60_000, everyMs: 300 }));
    const third = await publishAndSettle(site, { files: [probe.files.even], trialSeconds: 10 });
    t.equal(third.assignment?.result, 'confirmed', 'and publishing works again');
    t.equal(await probe.see(), 'even');
  });
});
