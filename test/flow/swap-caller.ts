// Calls connect() on UDP sockets one after another in a cgroup until SIGTERM, and says how many were refused.
// Started by swapper.ts.
//
//   node swap-caller.ts <cgroup>
//
// The calls are made by the addon's children, in an empty network namespace: one that no hook refuses fails too,
// but with ENETUNREACH.

import { addon, type CanaryCall } from '../../native/index.ts';
import { addressBytes } from '../lab/frame.ts';
import { swapPeer } from './swap-report.ts';

const [cgroup = ''] = process.argv.slice(2);
const EPERM = 1;
const connect: CanaryCall = {
  call: 'connect',
  family: 4,
  type: 2,
  protocol: 0,
  address: new Uint8Array(addressBytes(swapPeer)),
  port: 9,
};
/** As many as one child takes: between two children nobody calls. */
const calls = new Array<CanaryCall>(1024).fill(connect);

let asked = false;
process.once('SIGTERM', () => {
  asked = true;
});
const tally = { refused: 0, notRefused: 0 };
while (!asked) {
  for (const errno of await addon.canary(cgroup, calls)) {
    if (errno === EPERM) tally.refused++;
    else tally.notRefused++;
  }
}
console.log(JSON.stringify(tally));
