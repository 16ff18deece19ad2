// Goal: a configuration is taken whole and as written, or refused with every fault it has.
// Method: the example that we ship, no file at all, and files with several faults at once.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { ConfigError, parseConfig, readConfig } from '../../agent/config.ts';
import { DiskFiles } from '../../agent/os/files.ts';

const files = new DiskFiles();

function faultsOf(action: () => unknown): readonly string[] {
  try {
    action();
  } catch (error) {
    if (error instanceof ConfigError) return error.faults;
    throw error;
  }
  return [];
}

t.test('the shipped example is valid', async (t) => {
  const config = readConfig(files, 'firmware-integration/agent.example.json');
  t.ok(config.interfaces.length > 0);
  t.strictSame(config.trial, { minimumSeconds: 30, maximumSeconds: 1800 });
});

t.test('defaults are those of the documents', async (t) => {
  t.match(parseConfig({}, 'x'), {
    stateDirectory: '/var/lib/husk',
    runDirectory: '/run/husk',
    bpffs: '/sys/fs/bpf',
    interfaces: [],
    xdpMode: 'native',
    hardening: null,
    trial: { minimumSeconds: 30, maximumSeconds: 1800 },
    spool: { bytesMax: 8 * 1024 * 1024 },
    link: { keepaliveSeconds: 60, reconnectSeconds: { minimum: 1, maximum: 300 } },
    clock: { step: false },
    join: null,
  });
  t.equal(parseConfig({ trial: { minimumSeconds: 2 } }, 'x').trial.maximumSeconds, 1800, 'field by field');
});

t.test('every fault is told at once, with its path', async (t) => {
  const faults = faultsOf(() =>
    parseConfig(
      {
        stateDirectory: 'relative',
        bpffs: '/sys/../etc',
        interfaces: ['a name with spaces'],
        xdpMode: 'fast',
        trial: { minimumSeconds: 60, maximumSeconds: 30 },
        link: { keepaliveSecs: 5, reconnectSeconds: { minimum: -1 } },
        join: 'https://example.net',
        intefaces: [],
      },
      'file',
    ),
  );
  const expected = [
    /^stateDirectory: /,
    /^bpffs: .*\.\./,
    /^interfaces\.0: /,
    /^xdpMode: /,
    /^trial: minimumSeconds is above/,
    /^link\.reconnectSeconds\.minimum: /,
    /^link\.keepaliveSecs: there is no such field/,
    /^join: /,
    /^intefaces: there is no such field/,
  ];
  for (const one of expected)
    t.ok(
      faults.some((fault) => one.test(fault)),
      String(one),
    );
  t.equal(faults.length, expected.length, faults.join(' | '));
});

t.test('files that cannot be used', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'husk-config-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'agent.json');
  t.match(
    faultsOf(() => readConfig(files, path)),
    ['there is no such file'],
    'a file that was named must be there',
  );
  const bad: readonly (readonly [string, string | Buffer, RegExp])[] = [
    ['not JSON', '{', /not JSON/],
    ['not UTF-8', Buffer.from([0x22, 0xff, 0x22]), /not JSON/],
    ['a list', '[]', /whole file/],
    ['larger than any configuration', ' '.repeat(70_000), /EFBIG/],
  ];
  for (const [name, content, why] of bad) {
    writeFileSync(path, content);
    t.match(faultsOf(() => readConfig(files, path))[0], why, name);
  }
});
