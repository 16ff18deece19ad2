// Whether BPF objects load on the kernels of the guests, and what they cost their verifiers.

import { existsSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { parseArgs } from 'node:util';
import { Guest, guestMissing } from './guest.ts';
import { guestPrograms, programMissing } from './guest-programs.ts';
import type { GuestFiles } from './initramfs.ts';
import { isKernelName, type KernelName, kernelNames } from './kernels.ts';
import { type LoadTold, loadObjects } from './load-objects.ts';

const help = `usage: node test/device/try-load.ts [--kernel 5.10|6.1|6.12|full-6.12]... [--log] OBJECT...

Loads BPF object files, each alone, in an emulated guest of each kernel. A line per kernel and object:

  6.12  xdp_ingress.bpf.o  loads  412 ms  husk_xdp_ingress 35012, husk_xdp_ingress_twin 35050
  5.10  xdp_ingress.bpf.o  REFUSED  390 ms  load xdp_ingress: EINVAL (Invalid argument)
        (the end of the verifier's log)

Numbers are instructions that the verifier processed; 5.10 does not tell them. Times are the emulator's.

  --kernel  only on this one; may be repeated
  --log     more of the verifier's log
`;
const logLinesShort = 15;

async function tryLoad(name: KernelName, files: GuestFiles, objects: readonly string[]): Promise<LoadTold[]> {
  const guest = await Guest.boot(name, files);
  let failed = true;
  try {
    const loads = await loadObjects(guest, objects);
    failed = false;
    return loads;
  } finally {
    const kept = await guest.close({ failed });
    if (kept !== null) console.error(`console: ${kept}`);
  }
}

function show(name: KernelName, told: LoadTold, logLines: number): void {
  const head = `${name.padEnd(5)} ${told.object.padEnd(24)}`;
  if ('refused' in told) {
    console.log(`${head} REFUSED  ${told.ms} ms  ${told.refused}`);
    for (const line of told.log.trimEnd().split('\n').slice(-logLines)) console.log(`        ${line}`);
    return;
  }
  const programs = told.programs.map(({ name, instructions }) => `${name} ${instructions || '?'}`);
  console.log(`${head} loads  ${told.ms} ms  ${programs.join(', ')}`);
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    options: {
      kernel: { type: 'string', multiple: true },
      log: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
    allowPositionals: true,
  });
  if (values.help) {
    console.log(help);
    return 0;
  }
  const names = values.kernel ?? [...kernelNames];
  const unknown = names.filter((name) => !isKernelName(name));
  const absent = positionals.filter((path) => !existsSync(path));
  if (positionals.length === 0 || unknown.length > 0 || absent.length > 0) {
    console.error(
      [...unknown.map((name) => `no kernel ${name}`), ...absent.map((path) => `${path} is missing`)].join(
        '\n',
      ),
    );
    console.error(help);
    return 2;
  }
  if (programMissing()) throw new Error(String(programMissing()));
  const own = positionals.map(
    (path, index) => [`try/${index}/${basename(path)}`, readFileSync(path)] as const,
  );
  const files = { ...(await guestPrograms('load-objects')), ...Object.fromEntries(own) };
  let refused = false;
  for (const name of names.filter(isKernelName)) {
    const missing = guestMissing(name);
    if (missing !== false) {
      console.error(`${name}: ${missing}`);
      refused = true;
      continue;
    }
    const loads = await tryLoad(
      name,
      files,
      own.map(([path]) => `/${path}`),
    );
    for (const one of loads) show(name, one, values.log ? 200 : logLinesShort);
    refused ||= loads.some((one) => 'refused' in one);
  }
  return refused ? 1 : 0;
}

process.exitCode = await main();
