// A TCP server that gives back what it gets: run in the namespace of the device with its port and backlog as
// arguments; says `ready`.

import { createServer } from 'node:net';

const [port = '0', backlog = '511'] = process.argv.slice(2);
const server = createServer((socket) => {
  socket.on('error', () => socket.destroy());
  socket.pipe(socket);
});
server.listen({ port: Number(port), host: '::', backlog: Number(backlog) }, () => console.log('ready'));
