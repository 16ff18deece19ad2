// Goal: a bundle far larger than the agent's own memory is live, and the agent stays as small as it was; one that takes more
// than the device gives is refused, and nothing else happens.
// Method: the executables of dist/, whose JavaScript has 64 MiB; the agent's memory as the kernel counts it.

import { copyFileSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import t from 'tap';
import { largePolicy } from '../bench/filter/large-policy.ts';
import { executablesMissing } from '../lab/executables.ts';
import { Lab, labMissing } from '../lab/lab.ts';
import { openSite, type Site, startAgain } from '../lab/site.ts';

t.setTimeout(300_000);
const skip = labMissing() || executablesMissing();
const large = { rules: 3000, prefixes: 600_000 };
const limits = { counters: 16_384, kernelBytesMax: 256 * 1024 ** 2 };

/** One document a file, each as JSON. */
function filesOf(lab: Lab, documents: readonly object[]): readonly string[] {
  const folder = lab.folder('policy');
  return documents.map((document, index) => {
    const file = join(folder, `${index}.json`);
    writeFileSync(file, JSON.stringify(document));
    return file;
  });
}

/** MiB of memory that is the agent's alone, now. */
function anonymousMebibytes({ device }: Site): number {
  const status = readFileSync(`/proc/${device.program.pid}/status`, 'utf8');
  return Number(/^RssAnon:\s+(\d+) kB/m.exec(status)?.[1]) / 1024;
}

t.test('a large bundle', { skip, timeout: 290_000 }, async (t) => {
  const lab = await Lab.open();
  t.teardown(() => lab.close());
  const site = await openSite(lab, { device: { config: { limits } } });
  const { controller, device, id } = site;
  const { pid } = device.program;
  const before = anonymousMebibytes(site);

  await t.test('is live, proven, and leaves the agent small', async (t) => {
    const files = filesOf(lab, largePolicy(large, ['wan0']));
    const said = await controller.publish({ files, trialSeconds: 60, wait: true });
    t.equal(said.code, 0, said.complaint);
    const { reported } = await controller.device(id);
    t.equal(reported?.assignment?.result, 'confirmed');
    t.equal(reported?.rules.filter(({ state }) => state === 'enforced').length, large.rules + 1);
    const [row] = (await controller.query(id, 'sets')) as { readonly prefixes4?: number }[];
    t.ok((row?.prefixes4 ?? 0) > 500_000, JSON.stringify(row));
    const after = anonymousMebibytes(site);
    t.ok(after - before < 64, `from ${before.toFixed(0)} to ${after.toFixed(0)} MiB`);
  });

  await t.test('is verified from a folder', async (t) => {
    const folder = lab.folder('verify');
    const kept = join(device.stateDirectory, 'bundles');
    for (const name of readdirSync(kept)) {
      const as = { '.bundle': 'bundle.json', '.assignment': 'assignment.json' }[extname(name)];
      if (as !== undefined) copyFileSync(join(kept, name), join(folder, as));
    }
    const said = await device.cli(['verify', folder, '--json']);
    t.equal(said.code, 0, said.complaint);
    t.match(JSON.parse(said.out), { serial: 1, faults: [] });
  });

  await t.test('is adopted by the next life of the agent', async (t) => {
    await device.kill();
    await startAgain(site);
    const { reported } = await controller.device(id);
    t.equal(reported?.rules.filter(({ state }) => state === 'enforced').length, large.rules + 1);
  });
  t.not(device.program.pid, pid);
});

t.test('one that takes more memory than is given', { skip, timeout: 200_000 }, async (t) => {
  const lab = await Lab.open();
  t.teardown(() => lab.close());
  const site = await openSite(lab, {
    device: { config: { limits: { ...limits, prepareBytesMax: 32 * 1024 ** 2 } } },
  });
  const { controller, device, id } = site;
  const { pid } = device.program;
  const small = filesOf(lab, largePolicy({ rules: 10, prefixes: 0 }, ['wan0']));
  const first = await controller.publish({ files: small, trialSeconds: 30, wait: true });
  t.equal(first.code, 0, first.complaint);
  const { inForce } = (await controller.device(id)).reported ?? {};

  const files = filesOf(lab, largePolicy(large, ['wan0']));
  const said = await controller.publish({ files, trialSeconds: 60, wait: true });
  t.equal(said.code, 1);
  t.match(said.complaint, /policy\.over-limit: .*more memory than this device gives: 32\.0 MiB/);
  t.equal(device.program.pid, pid);
  t.ok(device.program.running, 'the agent lives');
  t.strictSame((await controller.device(id)).reported?.inForce, inForce, 'and nothing has changed');
  const again = await controller.publish({ files: small, trialSeconds: 30, wait: true });
  t.equal(again.code, 0, again.complaint);
});
