// What talks through the router of router.ts.
//
//   node talk.ts serve <port>…                  echoes, TCP and UDP
//   node talk.ts say <tcp|udp> <address> <port> [own address]   one question: prints echo, none, or the error's code
//   node talk.ts hold <address> <port>            asks over one TCP connection every 30 ms; prints `from <own port>`,
//                                                 then `echo <count>`

import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';

const [what = '', ...rest] = process.argv.slice(2);
const waitMs = 700;

async function serve(ports: readonly number[]): Promise<void> {
  for (const port of ports) {
    const server = createServer((socket) => {
      socket.on('error', () => {}); // the other end was cut off, as some tests mean it to be
      socket.pipe(socket);
    });
    const udp = createSocket({ type: 'udp6', recvBufferSize: 4 << 20 });
    udp.on('message', (bytes, { address, port: to }) => udp.send(bytes, to, address));
    udp.on('error', () => {}); // an answer to a port that is closed by now
    server.listen(port, '::');
    udp.bind(port, '::');
    await Promise.all([once(server, 'listening'), once(udp, 'listening')]);
  }
  console.log('serving');
}

function end(said: string): void {
  console.log(said);
  process.exit(0);
}

const [first = '', second = '', third = '', own = ''] = rest;
if (what === 'serve') {
  await serve(rest.map(Number));
} else if (what === 'say' && first === 'udp') {
  // Connected, so that an ICMP error is told to it.
  const socket = createSocket(second.includes(':') ? 'udp6' : 'udp4');
  socket.on('error', (error: NodeJS.ErrnoException) => end(error.code ?? 'error'));
  socket.on('message', () => end('echo'));
  const ask = () => socket.connect(Number(third), second, () => socket.send('question'));
  if (own === '') ask();
  else socket.bind(0, own, ask);
  setTimeout(() => end('none'), waitMs);
} else if (what === 'say') {
  const socket = connect({ host: second, port: Number(third), ...(own === '' ? {} : { localAddress: own }) });
  socket.on('error', (error: NodeJS.ErrnoException) => end(error.code ?? 'error'));
  socket.on('connect', () => socket.write('question'));
  socket.on('data', () => end('echo'));
  setTimeout(() => end('none'), waitMs);
} else {
  const socket = connect({ host: first, port: Number(second) });
  socket.setNoDelay(true);
  socket.on('connect', () => console.log(`from ${socket.localPort}`));
  let count = 0;
  socket.on('data', () => console.log(`echo ${++count}`));
  socket.on('error', () => {}); // it says no more, which is what is looked at
  setInterval(() => {
    if (socket.writableLength === 0) socket.write('x');
  }, 30);
}
