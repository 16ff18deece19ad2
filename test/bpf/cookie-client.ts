// Clients that open connections, send, and want it back: run in the namespace of a client with the visits as JSON in
// its argument; tells how each ended, one after another.

import { connect } from 'node:net';

export interface Visit {
  readonly address: string;
  readonly port: number;
  /** Sent, and wanted back. */
  readonly bytes: number;
  /** Default: any. Such a connection is ended by a RST, so that the port is free again at once. */
  readonly fromPort?: number;
}
export interface Visited {
  /** `all` came back; else what is missing, as in ECONNREFUSED or `38 of 1000`. */
  readonly ended: string;
  readonly ms: number;
}

const patienceMs = 8000;

function visit({ address, port, bytes, fromPort }: Visit): Promise<string> {
  return new Promise((resolve) => {
    let back = 0;
    const socket = connect({
      host: address,
      port,
      autoSelectFamily: false,
      ...(fromPort === undefined ? {} : { localPort: fromPort }),
    });
    const end = (what: string) => {
      clearTimeout(timer);
      resolve(what);
      if (fromPort === undefined) socket.destroy();
      else socket.resetAndDestroy();
    };
    const timer = setTimeout(() => end(`${back} of ${bytes}`), patienceMs);
    socket.once('error', (error: NodeJS.ErrnoException) => end(String(error.code)));
    socket.once('connect', () => socket.write(Buffer.alloc(bytes, 'x')));
    socket.on('data', (data) => {
      back += data.length;
      if (back >= bytes) end('all');
    });
  });
}

const visits: readonly Visit[] = JSON.parse(process.argv[2] ?? '[]');
const visited: Visited[] = [];
for (const one of visits) {
  const before = performance.now();
  const ended = await visit(one);
  visited.push({ ended, ms: Math.round(performance.now() - before) });
}
console.log(JSON.stringify(visited));
process.exit(0);
