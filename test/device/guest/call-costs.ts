// Inside a guest whose clock counts instructions: what calls cost a service before there is any guard, and under policies of more and more rules.

import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { devicePaths } from '../../../agent/device-paths.ts';
import type { Kernel } from '../../../agent/kernel/kernel.ts';
import { compile } from '../../../agent/policy/compile.ts';
import { parseDocuments } from '../../../agent/policy/parse.ts';
import { plainFacts } from '../../lab/plain-kernel.ts';
import { guardsHere, hardeningRoot, openKernel } from './guarded-kernel.ts';
import { tell } from './tell.ts';

const folder = '/srv/benchd';
const program = `${folder}/calls`;

/** Milliseconds, as this guest counts them, of each step of bringing a policy of so many rules into force. */
interface Policy {
  readonly rules: number;
  readonly compileMs: number;
  readonly loadMs: number;
}

function measure(): Record<string, number> {
  const { status, stdout, stderr } = spawnSync(program, [folder], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`calls: ${stderr}`);
  const lines = stdout.trim().split('\n');
  return Object.fromEntries(lines.map((line) => line.split(' ')).map(([name, ns]) => [name, Number(ns)]));
}

/** About files, programs and addresses by turns, none of which the service touches; the first is about what it does. */
function policyOf(rules: number): unknown[] {
  const others = Array.from({ length: Math.max(0, rules - 1) }, (_, at) => {
    const id = `rule-${at}`;
    if (at % 3 === 0) return { id, file: { read: { paths: [`/srv/other/file-${at}`] } }, action: 'deny' };
    if (at % 3 === 1) return { id, exec: { under: [`/srv/programs/${at}`] }, action: 'deny' };
    const to = `192.${(at >> 16) & 255}.${(at >> 8) & 255}.${at & 255}`;
    return { id, connect: { to: [`${to}/32`] }, action: 'deny' };
  });
  const denied = { id: 'denied', file: { read: { paths: [`${folder}/denied`] } }, action: 'deny' };
  const spec = {
    mode: 'enforce',
    subject: { executable: program },
    rules: rules > 0 ? [denied, ...others] : [],
  };
  return [{ apiVersion: 'husk/v1', kind: 'HardeningPolicy', metadata: { name: 'benchd' }, spec }];
}

async function putInForce(kernel: Kernel, rules: number): Promise<Policy> {
  const started = performance.now();
  const { documents, faults } = parseDocuments(policyOf(rules));
  if (faults.length > 0) throw new Error(JSON.stringify(faults.slice(0, 3)));
  const pathKey = kernel.guards?.pathKey;
  if (pathKey === undefined) throw new Error(`no guards: ${kernel.guardsWhy}`);
  const facts = { ...plainFacts([], (id) => kernel.ruleIndex(id)), paths: devicePaths(pathKey) };
  const image = compile(documents, facts);
  const compiled = performance.now();
  const generation = await kernel.loadStandby({ serial: rules + 1, bundleDigest: '1'.repeat(64), image });
  kernel.settle(generation);
  return { rules, compileMs: compiled - started, loadMs: performance.now() - compiled };
}

async function main(): Promise<void> {
  for (const one of [hardeningRoot, folder]) mkdirSync(one, { recursive: true });
  for (const name of ['calls', 'exits']) copyFileSync('/husk/calls', `${folder}/${name}`);
  for (const name of ['file', 'denied']) writeFileSync(`${folder}/${name}`, 'x');
  spawnSync('/bin/busybox', ['ip', 'link', 'set', 'lo', 'up']);
  tell({ of: 'no guards', calls: measure() });

  const guards = await guardsHere();
  const started = performance.now();
  const kernel = await openKernel(guards);
  tell({ openedMs: performance.now() - started });
  for (const rules of [0, 10, 1000, 10_000]) {
    const policy = await putInForce(kernel, rules);
    tell({ of: `${rules} rules`, calls: measure(), ...policy });
  }
  kernel.unload([]);
}

main().catch((error: unknown) => {
  console.error(error, (error as { log?: string }).log ?? '');
  process.exit(1);
});
