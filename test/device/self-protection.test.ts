// Goal: what is Husk's is touched by Husk alone, by nobody else who is root, least of all by what comes from a shielded
// service; and what is others' is theirs as ever.
// Method: the agent itself in an emulated machine, with a policy for a service in force. Each try is made twice: by a
// shell that belongs to no service (a login), and by one that the service started; what they hear is compared.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { payloadTypes } from '../../agent/contract/bundle.ts';
import type { Permit } from '../../agent/contract/permit.ts';
import { canonicalJson } from '../../fleet/policy/bundle.ts';
import { compileC, gccMissing } from '../lab/compile-c.ts';
import { type EnrolledDevice, enrolledDevice } from './enrolled-device.ts';
import { Guest, guestMissing } from './guest.ts';
import { guestPrograms, programMissing } from './guest-programs.ts';

t.setTimeout(900_000);

/** The agent's executable of this device is node under another name: what it runs is the agent. */
const agent = '/usr/bin/husk-agent /husk/build/agent.cjs';
const pins = '/sys/fs/bpf/husk';
const state = '/var/lib/husk';

const policy = [
  {
    apiVersion: 'husk/v1',
    kind: 'HardeningPolicy',
    metadata: { name: 'stubd' },
    spec: {
      mode: 'enforce',
      subject: { executable: '/srv/stubd/sh' },
      rules: [{ id: 'no-tmp-exec', exec: { under: ['/tmp'] }, action: 'deny' }],
    },
  },
  {
    apiVersion: 'husk/v1',
    kind: 'PacketPolicy',
    metadata: { name: 'wire' },
    spec: {
      mode: 'enforce',
      zones: { wan: { interfaces: ['hk0'] } },
      ingress: [{ zone: 'wan', default: 'allow', rules: [] }],
      egress: [],
    },
  },
];

const refused = /not permitted|EPERM|permission denied/i;
const done = /^(done)?$/;
const notBelieved = /refused: what comes from a service/;

/** What neither gets. */
const attacks: Readonly<Record<string, string>> = {
  'remove the pin of a link': `rm ${pins}/v*/guards/links/husk_file_open`,
  'remove the pin of a map': `rm ${pins}/v*/maps/control`,
  'remove all pins': `rm -r ${pins}`,
  'move the pins away': `mv ${pins} /sys/fs/bpf/other`,
  'put a pin in place of another': `touch ${pins}/new`,
  'umount the bpf file system': 'umount /sys/fs/bpf',
  'umount it lazily': 'umount -l /sys/fs/bpf',
  'mount over it': 'mount -t tmpfs none /sys/fs/bpf',
  'mount over a folder above it': 'mount -t tmpfs none /sys',
  'move its mount': 'mkdir -p /srv/mnt && mount -o move /sys/fs/bpf /srv/mnt',
  'mount over the state': `mount -t tmpfs none ${state}`,
  'write the configuration': 'echo >/etc/husk/agent.json',
  'replace the configuration': 'echo >/tmp/new.json; mv /tmp/new.json /etc/husk/agent.json',
  'write a bundle': `echo >${state}/bundles/record.json`,
  'put a file beside it': `echo >${state}/bundles/new`,
  'make a link in the state': `ln -s /etc ${state}/etc`,
  'remove the identity': `rm ${state}/identity/identity.json`,
  'open the identity to others': `chmod 644 ${state}/identity/identity.json`,
  'give the identity away': `chown 1000 ${state}/identity/identity.json`,
  'give it a second name': `ln ${state}/identity/identity.json /srv/other.json`,
  'rename a folder above it': 'mv /var/lib /var/other',
  'remove the executable': 'rm /usr/bin/husk-agent',
  'replace the executable': 'cp /bin/busybox /srv/new; mv /srv/new /usr/bin/husk-agent',
  'take its mode away': 'chmod 644 /usr/bin/husk-agent',
  'give it another name': 'ln /usr/bin/husk-agent /srv/husk-agent',
  'kill it': 'kill -9 $AGENT',
  'stop it': 'kill -STOP $AGENT',
  'end it': 'kill -TERM $AGENT',
  'limit its time': 'attack limit $AGENT',
  'trace it': 'attack trace $AGENT',
  'trace process 1': 'attack trace 1',
  'write to its memory': 'attack memory $AGENT',
  'offer it when memory is short': 'echo 1000 >/proc/$AGENT/oom_score_adj',
  'run its executable traced': 'attack traced /usr/bin/husk-agent',
  'take its filters off': 'attack filters hk0',
  'take them off in a batch': 'attack filters-behind hk0',
  'open the pin of a map': `attack pin $(echo ${pins}/v*/maps/control)`,
  'open the pin of a program': `attack pin $(echo ${pins}/v*/programs/husk_connect4)`,
};

/** What both do, as on any device. */
const others: Readonly<Record<string, string>> = {
  'a map of its own': 'attack own-map',
  'a file of its own': 'echo >/srv/file && chmod 600 /srv/file && mv /srv/file /srv/moved && rm /srv/moved',
  'a mount of its own': 'mkdir -p /srv/mine && mount -t tmpfs none /srv/mine && umount /srv/mine',
  'a process of its own': 'sleep 100 & kill -9 $!',
  'read the configuration': 'cat /etc/husk/agent.json >/dev/null',
  'read what it runs': 'head -c 10 /usr/bin/husk-agent >/dev/null',
  'look at its process': 'cat /proc/$AGENT/status >/dev/null',
  'ask whether it lives': 'kill -0 $AGENT',
  'filters of an interface of its own': 'attack own-filters hk1',
};

/** Its filters hang on interfaces as clsact, not as links. */
const kernel = '6.1';

t.test(
  `Debian's ${kernel}`,
  { skip: programMissing() || gccMissing() || guestMissing(kernel) },
  async (t) => {
    const device = enrolledDevice(policy);
    const guest = await Guest.boot(kernel, await filesOf(device));
    t.teardown(async () => {
      await guest.close({ failed: !t.passing() });
    });
    const tools = new Tools(t, guest);
    await tools.prepare();
    await tools.startAgent('made');

    for (const from of ['login', 'service'] as const) {
      for (const [what, line] of Object.entries(attacks))
        t.match(await tools.try(from, line), refused, `${from}: ${what}`);
      for (const [what, line] of Object.entries(others))
        t.match(await tools.try(from, line), done, `${from}: ${what}`);
      for (const kind of ['maps', 'programs', 'links'])
        t.match(await tools.try(from, `attack ${kind}`), /^0 of [1-9]/, `${from}: ${kind} by their ids`);
      const link = `attack pin $(echo ${pins}/v*/guards/links/husk_file_open); echo $?`;
      t.match(await tools.try(from, link), /137$/, `${from}: ends who opens the pin of a link`);
    }
    const secret = `cat ${state}/identity/identity.json >/dev/null`;
    t.match(await tools.try('login', secret), done, 'a login reads the identity');
    t.match(await tools.try('service', secret), refused, 'a service does not');
    t.match(await tools.try('service', '/tmp/true'), refused, 'what is denied to the service still is');

    t.match(await tools.try('service', `${agent} unprotect`), notBelieved, 'a service commands nothing');
    const boot = await tools.run('cat /proc/sys/kernel/random/boot_id');
    await tools.write('/tmp/permit.json', JSON.stringify(permitFor(device, boot)));
    const permitted = `${agent} unprotect --permit /tmp/permit.json`;
    t.match(await tools.try('service', permitted), /unprotected for 300 seconds/, 'but by a permit');
    t.match(await tools.try('service', permitted), /permit\.used/, 'once');
    t.match(await tools.try('service', 'kill -9 $AGENT'), done, 'which lets go of the agent');

    await tools.startAgent('adopted');
    t.match(await tools.try('login', 'kill -9 $AGENT'), refused, 'the next one is guarded again');
    t.match(await tools.command(`${agent} unprotect --seconds 600`), /unprotected for 600/);
    t.match(await tools.try('service', 'kill -9 $AGENT'), refused, 'a login lets go for logins');
    t.match(await tools.try('login', 'kill -9 $AGENT'), done);
    t.match(await tools.try('service', `${agent} unload --yes`), notBelieved, 'a service unloads nothing');
    t.match(await tools.try('service', '/tmp/true'), refused);
    t.match(await tools.try('login', `${agent} unload --yes`), /unloaded/, 'a login does');
    t.equal(await tools.run(`ls ${pins}`), '', 'and nothing is left');
    t.match(await tools.try('service', '/tmp/true'), done);
    t.match(await tools.try('service', `rm -r ${state}`), done);
  },
);

/** For one use in this boot. */
function permitFor({ tenant, device, signer }: EnrolledDevice, boot: string): object {
  const permit: Permit = {
    v: 1,
    tenant,
    device,
    purpose: 'unprotect',
    id: '1'.repeat(32),
    boot,
    notAfter: Math.floor(Date.now() / 1000) + 3600,
  };
  return signer.sign(payloadTypes.permit, Buffer.from(canonicalJson(permit)));
}

async function filesOf({ files }: EnrolledDevice): Promise<Record<string, Uint8Array>> {
  const config = { hardening: { cgroup: '/sys/fs/cgroup/husk' }, interfaces: ['hk0'], xdpMode: 'generic' };
  const below = Object.entries(files).map(([path, bytes]) => [`var/lib/husk/${path}`, bytes] as const);
  return {
    ...(await guestPrograms('agent')),
    ...Object.fromEntries(below),
    'etc/husk/agent.json': Buffer.from(JSON.stringify(config)),
    'bin/attack': readFileSync(compileC(join(import.meta.dirname, 'guest/attack.c'))),
  };
}

type From = 'login' | 'service';

/** Others may be working on this machine. */
const patienceMs = 350_000;

class Tools {
  readonly #t: Test;
  readonly #guest: Guest;

  constructor(t: Test, guest: Guest) {
    this.#t = t;
    this.#guest = guest;
  }

  async prepare(): Promise<void> {
    await this.run(
      'mkdir -p /srv/stubd /usr/bin && cp /bin/busybox /srv/stubd/sh && cp /bin/busybox /tmp/true',
    );
    await this.run('ln /bin/node /usr/bin/husk-agent && find /var/lib/husk -type f -exec chmod 600 {} +');
    await this.run(
      '/usr/sbin/ip link add hk0 type veth peer name hk1 && /usr/sbin/ip link set hk0 up && /usr/sbin/ip link set hk1 up',
    );
  }

  /** Until it protects itself; its process id is where `try` finds it. */
  async startAgent(how: 'made' | 'adopted'): Promise<void> {
    const log = `/run/agent-${how}.log`;
    await this.run(`(${agent} run >${log} 2>&1 & echo $! >/run/agent.pid)`);
    const until = 'self-protection: \\|agent: ended\\|Error';
    await this.run(`for i in $(seq 1000); do grep -q "${until}" ${log} && break; sleep 1; done`);
    this.#t.match(
      await this.run(`tail -n 5 ${log}`),
      `"how":"${how}","missing":[],"msg":"self-protection: on"`,
    );
    // The policy is on its way; when it is there the service can tell.
    await this.run('for i in $(seq 1000); do /srv/stubd/sh -c /tmp/true 2>/dev/null || break; sleep 1; done');
  }

  async write(path: string, text: string): Promise<void> {
    await this.run(`echo ${Buffer.from(text).toString('base64')} | base64 -d >${path}`);
  }

  /** What a shell line says, from a login or from a descendant of the service. */
  async try(from: From, line: string): Promise<string> {
    const quoted = `AGENT=$(cat /run/agent.pid); ${line}`.replaceAll("'", `'\\''`);
    return await this.run(`${from === 'login' ? 'sh' : '/srv/stubd/sh'} -c '${quoted}'`);
  }

  /** Of a login, once the agent takes any. */
  async command(line: string): Promise<string> {
    const again = `case $said in *'is starting'*) sleep 1;; *) break;; esac`;
    return await this.run(`for i in $(seq 1000); do said=$(${line} 2>&1); ${again}; done; echo "$said"`);
  }

  async run(line: string): Promise<string> {
    const { lines } = await this.#guest.run(line, patienceMs);
    return lines.join('\n').trim();
  }
}
