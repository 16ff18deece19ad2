// What no device can enforce, said before it is signed: beyond the tables' limits, or never shown by the kernel.
//
// A device finds out when it compiles, and refuses (policy.over-limit, policy.unsupported). Here the same
// compiler runs for a device of which nothing is known, so that nobody spends a serial on it. What hangs
// on the device is left to it: how many of its interfaces are in zones, which cgroups there are.

import type { PolicyDocument } from '../contract/policy.ts';
import { idsOf } from './check.ts';
import { compile } from './compile.ts';
import { unseenDenial } from './compile-calls.ts';
import { plainDevice } from './device-view.ts';
import { type Fault, FaultList, type Path } from './faults.ts';
import { activeMode, defaultMode } from './ids.ts';
import { plainPaths } from './plain-paths.ts';
import { shieldsAsPolicies } from './shields-as-policies.ts';
import { activeHardening } from './subjects.ts';
import type { DeviceFacts } from './table-image.ts';
import { type BeyondAt, OverLimitError } from './tables.ts';

const anyDevice: DeviceFacts = {
  ...plainDevice([]),
  cgroupId: () => null,
  ruleIndex: () => 0,
  bootSeconds: () => null,
  paths: plainPaths(),
};

export interface Fit {
  /** All that is unseen, or else the first limit gone over. */
  readonly faults: readonly Fault[];
  /** What one generation's tables take of a device's kernel memory; null where they do not fit. */
  readonly tableBytes: number | null;
  /** Rules and defaults that one generation counts. */
  readonly counted: number;
}

/** For documents that were checked and are without error. */
export function checkFit(documents: readonly PolicyDocument[]): Fit {
  const faults = new FaultList();
  checkUnseen(documents, faults);
  // The compiler stops at the first of them.
  if (faults.hasErrors) return { faults: faults.all(), tableBytes: null, counted: 0 };
  const counted = new Set<string>();
  const ruleIndex = (id: string) => {
    counted.add(id);
    return 0;
  };
  try {
    const { kernelBytes } = compile(documents, { ...anyDevice, ruleIndex });
    return { faults: [], tableBytes: kernelBytes, counted: counted.size };
  } catch (error) {
    if (!(error instanceof OverLimitError)) throw error;
    const message = `${error.detail}: no device has room for it`;
    const place = placeOf(error.at, documents);
    if (place === null) faults.add({ severity: 'error', file: '', line: 0, column: 0, path: '', message });
    else faults.addAt({ ...place, index: documents.indexOf(place.document) }, message);
    return { faults: faults.all(), tableBytes: null, counted: 0 };
  }
}

function checkUnseen(documents: readonly PolicyDocument[], faults: FaultList): void {
  for (const document of activeHardening(shieldsAsPolicies(documents))) {
    const { mode, rules, default: defaults } = document.spec;
    const deny = (families: Parameters<typeof unseenDenial>[0], path: Path) => {
      const message = unseenDenial(families);
      if (message !== null) faults.addAt({ document, index: documents.indexOf(document), path }, message);
    };
    if (defaults?.socket === 'deny' && defaultMode(mode) !== null)
      deny(undefined, ['spec', 'default', 'socket']);
    rules.forEach(({ socket, action, mode: own }, index) => {
      if (socket === undefined || action !== 'deny' || activeMode(mode, own) === null) return;
      deny(socket.family, ['spec', 'rules', index, 'socket', 'family']);
    });
  }
}

function placeOf(at: BeyondAt, documents: readonly PolicyDocument[]) {
  if (typeof at !== 'string') return at;
  for (const document of documents) {
    const found = idsOf(document).find(({ id }) => id === at);
    if (found !== undefined) return { document, path: found.path };
  }
  return null;
}
