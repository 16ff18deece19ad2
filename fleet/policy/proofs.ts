// What is proven of policy files before they are signed, for `husk policy check` and `husk policy publish` alike.

import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import type { PolicyDocument } from '../../agent/contract/policy.ts';
import {
  type CheckProofsOptions,
  checkProofs,
  type Proven,
} from '../../agent/policy/classes/check-proofs.ts';
import { shortBounds } from '../../agent/policy/classes/diagram.ts';
import { type Controller, controllerDefault } from '../../agent/policy/classes/expect.ts';
import { dataPaths } from '../data-folder.ts';

/** MQTT over TLS (IANA). */
const mqttsPort = 8883;

export interface ProofsAsked {
  /** Given by hand; without it what the data folder says. */
  readonly controllers?: readonly Controller[] | undefined;
  readonly data: string;
  readonly parts?: boolean;
  /** Says how far it is, where it takes long; null: it is done. */
  readonly progress?: ((line: string | null) => void) | undefined;
}

export function provePolicies(documents: readonly PolicyDocument[], asked: ProofsAsked): Proven {
  const slow = slowly(asked.progress, 'proving');
  const options: CheckProofsOptions = {
    controllers: asked.controllers ?? [controllerIn(asked.data)],
    parts: asked.parts ?? false,
    bounds: { ...shortBounds, onSteps: slow.onSteps },
    onProgress: slow.lists,
  };
  try {
    return checkProofs(documents, options);
  } finally {
    slow.end();
  }
}

/** The address by which devices are told to come, where the first name of the controller is one. */
function controllerIn(folder: string): Controller {
  try {
    const config: unknown = JSON.parse(readFileSync(dataPaths(folder).config, 'utf8'));
    const names = (config as { readonly names?: unknown } | null)?.names;
    const first: unknown = Array.isArray(names) ? names[0] : undefined;
    if (typeof first === 'string' && isIP(first) !== 0) return { address: first, port: mqttsPort };
  } catch {
    // No controller on this machine, or not one of this user: its address is not known, which is an answer.
  }
  return controllerDefault;
}

const remarkAfterMs = 500;

export interface Slow {
  /** How many lists of rules are done. */
  readonly lists: (done: number, of: number) => void;
  /** For `bounds`: how far the one is that is looked at. */
  readonly onSteps: (steps: number, max: number) => void;
  readonly end: () => void;
}

/** Tells how far long work is, where somebody watches; nothing of what is quick. `tell`: null when it is done. */
export function slowly(tell: ((line: string | null) => void) | undefined, what: string): Slow {
  let last = Date.now();
  let place = '';
  const look = (more: string) => {
    if (tell === undefined || Date.now() - last < remarkAfterMs) return;
    last = Date.now();
    tell(`${what}${place}${more}`);
  };
  return {
    lists: (done, of) => {
      const percent = Math.floor(100 * (done % 1));
      place = `: list ${Math.min(Math.floor(done) + 1, of)} of ${of}${percent === 0 ? '' : `, ${percent} %`}`;
      look('');
    },
    onSteps: (steps, max) => look(`, ${Math.ceil((100 * steps) / max)} % of the steps it may take`),
    end: () => tell?.(null),
  };
}

/** `192.0.2.10:8883`, `[2001:db8::10]:8883`, several with commas; null where one is none. */
export function readControllers(text: string): readonly Controller[] | null {
  const read = text.split(',').map((one): Controller | null => {
    const parts = /^(?:\[([^\]]+)\]|([\d.]+)):(\d{1,5})$/.exec(one.trim());
    const address = parts?.[1] ?? parts?.[2] ?? '';
    const port = Number(parts?.[3]);
    return isIP(address) === (parts?.[1] === undefined ? 4 : 6) && port > 0 && port < 65_536
      ? { address, port }
      : null;
  });
  return read.every((one) => one !== null) ? read : null;
}
