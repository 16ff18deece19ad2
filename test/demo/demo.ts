// The demo: a controller, a device and a network of their own on this machine, real packets and real calls,
// and an account of what became of them. Needs root; touches no interface and no cgroup of the host.
//
//   node test/demo/demo.ts [--keep] [--json]

import { parseArgs } from 'node:util';
import { messageOf } from '../../agent/contract/thrown.ts';
import { executablesMissing } from '../lab/executables.ts';
import { Lab, labMissing } from '../lab/lab.ts';
import { addresses, enrol, layGround, type Site, startController } from '../lab/site.ts';
import { Account } from './account.ts';
import * as scenes from './scenes.ts';
import { Stubd, waitAtHome } from './stubd.ts';

const usage = `usage: ./build.sh demo [--keep] [--json]

Makes three network namespaces (wan, device, lan), starts the controller in the first and the agent in the
second, and shows a signed policy at work: real packets dropped, a real system call denied, an agent killed,
and policies that cut the device off and are taken back by the kernel.

  --keep   at the end, leave all of it running until Ctrl-C, and say how to look at it
  --json   the account as JSON on stdout (the readable one goes to stderr)
  --help   this text

Needs root, and takes about a minute. Exit 0: every claim held. 1: one did not, or something failed.
`;

// Somebody who stops reading (`| head`) must not keep the demo from taking down what it set up.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});

const home = { address: addresses.attacker, port: 4444 };

async function main(): Promise<number> {
  const options = readArguments();
  if (options === null) return 2;
  if (options.help) {
    process.stdout.write(usage);
    return 0;
  }
  const missing = labMissing() || executablesMissing();
  if (missing !== false) {
    process.stderr.write(`demo: ${missing}\n`);
    return 1;
  }
  const out = options.json ? process.stderr : process.stdout;
  const account = new Account((text) => out.write(text), out.isTTY && process.env.NO_COLOR === undefined);
  const begun = performance.now();
  const lab = await Lab.open();
  try {
    const site = await play(lab, account);
    account.end((performance.now() - begun) / 1000);
    if (options.json) process.stdout.write(`${JSON.stringify(account.json(), null, 2)}\n`);
    if (options.keep) await keep(site, (text) => out.write(text));
  } catch (error) {
    // A signal takes the lab down under the scene that runs; what that scene then says is no news.
    if (lab.closing) return await new Promise(() => {});
    const why = messageOf(error);
    process.stderr.write(`\n${lab.logTails()}\n\ndemo: ${why}\n`);
    return 1;
  } finally {
    await lab.close();
  }
  return account.holds ? 0 : 1;
}

async function play(lab: Lab, account: Account): Promise<Site> {
  account.scene('A controller is set up and a device joins it');
  const ground = layGround(lab);
  const controller = await startController(lab, ground);
  account.say(`controller at ${addresses.controller} in the wan, its data in ${controller.data}`);
  const { device, id } = await enrol(lab, ground, controller);
  account.claim(true, `the device enrolled with a one-time token and is up as ${id}`);
  const site: Site = { lab, ...ground, controller, device, id };

  const waiting = waitAtHome(lab, site.wan, home);
  await waiting.line(/^waiting/, 10_000);
  const policies = lab.folder('policies');
  scenes.layOutPolicies(policies);
  const stage: scenes.Stage = {
    site,
    account,
    policies,
    stubd: new Stubd(lab, { namespace: site.inside, cgroup: device.serviceCgroup('stubd'), home }),
    listed: scenes.readList(),
    listeners: await scenes.openListeners(site),
  };
  await scenes.withoutPolicy(stage);
  await scenes.publishPolicy(stage);
  await scenes.packetsDropped(stage);
  await scenes.callsDenied(stage);
  await scenes.agentKilled(stage);
  await scenes.cutOff(stage);
  await scenes.cutOffSlyly(stage);
  await scenes.cutOffAndKilled(stage);
  await scenes.eventsHeard(stage);
  return site;
}

/** Says how to look and waits; the signal that ends it takes everything down. */
async function keep({ controller, wan, inside, id }: Site, write: (text: string) => void): Promise<void> {
  const data = controller.data;
  write(`
All of it goes on running until Ctrl-C. To look at it, in another terminal:

  dist/husk device list --data ${data}
  dist/husk query ${id} rules --data ${data}
  dist/husk events --follow --data ${data}
  nsenter --net=${inside.path} ip -d link show wan0
  ${controller.watchCommand(wan)}
  ${controller.askCommand(wan, id)}
`);
  await new Promise(() => setInterval(() => {}, 1 << 30));
}

function readArguments(): { keep: boolean; json: boolean; help: boolean } | null {
  try {
    const flag = { type: 'boolean', default: false } as const;
    const { values } = parseArgs({ options: { keep: flag, json: flag, help: { ...flag, short: 'h' } } });
    return values;
  } catch (error) {
    process.stderr.write(`demo: ${messageOf(error)}\n\n${usage}`);
    return null;
  }
}

process.exitCode = await main();
