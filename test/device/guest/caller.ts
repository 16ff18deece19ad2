// Inside a guest: a process that tries to connect, in the cgroup that it was started in.
//
//   node caller.cjs ADDRESS...    writes errno by call as JSON: {"tcp 192.0.2.20":"EPERM","udp ::1":"ok"}

import { createSocket } from 'node:dgram';
import { connect } from 'node:net';

/** Discard (RFC 863) has no listener here: who gets so far is refused there, and not before. */
const port = 9;

async function main(addresses: readonly string[]): Promise<void> {
  const results: Record<string, string> = {};
  for (const address of addresses) {
    results[`tcp ${address}`] = await tryTcp(address);
    results[`udp ${address}`] = await tryUdp(address);
  }
  process.stdout.write(JSON.stringify(results));
}

function tryTcp(address: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(port, address);
    socket.once('connect', () => resolve('ok'));
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    socket.once('close', () => socket.destroy());
  });
}

function tryUdp(address: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
    socket.send('husk', port, address, (error) => {
      resolve(error === null ? 'ok' : ((error as NodeJS.ErrnoException).code ?? error.message));
      socket.close();
    });
  });
}

main(process.argv.slice(2)).catch((error: unknown) => {
  console.error(error);
  process.exit(1);
});
