// The commands of `husk`, by the word they stand under; each is a file of this folder.

import { audit } from './audit.ts';
import { brokerConfigMosquitto } from './broker-config-mosquitto.ts';
import type { CommandFile } from './common.ts';
import { deviceForget } from './device-forget.ts';
import { deviceList } from './device-list.ts';
import { devicePermit } from './device-permit.ts';
import { deviceShow } from './device-show.ts';
import { events } from './events.ts';
import { importIptablesCommand, importListCommand, importNftCommand } from './import.ts';
import { init } from './init.ts';
import { policyCheck } from './policy-check.ts';
import { policyDiff } from './policy-diff.ts';
import { policyPublish } from './policy-publish.ts';
import { policySchema } from './policy-schema.ts';
import { policySimulate } from './policy-simulate.ts';
import { policyTemplate } from './policy-template.ts';
import { policyTest } from './policy-test.ts';
import { query } from './query.ts';
import { serve } from './serve.ts';
import { status } from './status.ts';
import { tokenCreate } from './token-create.ts';
import { tokenList } from './token-list.ts';
import { tokenRevoke } from './token-revoke.ts';

export interface CommandGroup {
  readonly name: string;
  readonly summary: string;
  /** Said below the list of its commands. */
  readonly help?: string;
  readonly commands: readonly CommandFile[];
}

/** In the order of `husk --help`: as somebody begins. */
export const commands: readonly (CommandFile | CommandGroup)[] = [
  init,
  serve,
  status,
  {
    name: 'token',
    summary: 'Enrollment tokens: create, list, revoke',
    commands: [tokenCreate, tokenList, tokenRevoke],
  },
  {
    name: 'device',
    summary: 'Devices: list, show, forget, permit',
    commands: [deviceList, deviceShow, deviceForget, devicePermit],
  },
  {
    name: 'policy',
    summary: 'Policy: template, check, test, simulate, diff, publish, schema',
    help: `
The way of a policy, from an editor to devices:
  husk policy schema > husk.schema.json                            the editor completes and complains
  husk policy template                                             policies to begin with, for services
  husk policy check branch.yaml lists.yaml                         every fault, with file, line and column
  husk policy test branch.case                                     what must pass passes, what must not does not
  husk policy simulate branch.yaml --pcap uplink.pcap --zone wan   what it would have made of real traffic
  husk policy diff branch.yaml new.yaml                            which traffic changes its verdict, of all there can be
  husk policy publish branch.yaml lists.yaml --all --wait          on trial on each device, then confirmed

All but publish need no controller. test and simulate judge by the evaluator; with --kernel packets are judged by
the very programs that devices run, in the kernel of this machine.`,
    commands: [
      policyTemplate,
      policyCheck,
      policyTest,
      policySimulate,
      policyDiff,
      policyPublish,
      policySchema,
    ],
  },
  {
    name: 'import',
    summary: 'Policy from what you have: iptables, nft, list',
    commands: [importIptablesCommand, importNftCommand, importListCommand],
  },
  query,
  events,
  audit,
  {
    name: 'broker-config',
    summary: 'Configuration for a broker of your own',
    commands: [brokerConfigMosquitto],
  },
];
