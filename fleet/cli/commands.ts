// The commands of `husk`, by the word they stand under; each is a file of this folder.

import { audit } from './audit.ts';
import { brokerConfigMosquitto } from './broker-config-mosquitto.ts';
import type { CommandFile } from './common.ts';
import { deviceForget } from './device-forget.ts';
import { deviceList } from './device-list.ts';
import { deviceShow } from './device-show.ts';
import { events } from './events.ts';
import { init } from './init.ts';
import { policyCheck } from './policy-check.ts';
import { policyPublish } from './policy-publish.ts';
import { policySchema } from './policy-schema.ts';
import { query } from './query.ts';
import { serve } from './serve.ts';
import { status } from './status.ts';
import { tokenCreate } from './token-create.ts';
import { tokenList } from './token-list.ts';
import { tokenRevoke } from './token-revoke.ts';

export interface CommandGroup {
  readonly name: string;
  readonly summary: string;
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
    summary: 'Devices: list, show, forget',
    commands: [deviceList, deviceShow, deviceForget],
  },
  {
    name: 'policy',
    summary: 'Policy: check, publish, schema',
    commands: [policyCheck, policyPublish, policySchema],
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
