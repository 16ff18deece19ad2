// Inside a guest: the other end of the wire (wire.ts), a program of its own in the peer's network namespace. Sends
// and counts as it is asked to by the one that started it.
//
//   node peer.cjs PORT,PORT… [PORT,PORT…]    datagrams are counted, connections are taken

import { attemptAll, type PeerQuestion, Receiver, send } from './wire.ts';

async function main(ports: readonly number[], tcpPorts: readonly number[]): Promise<void> {
  const receiver = await Receiver.open(ports, tcpPorts);
  const answer = async (question: PeerQuestion): Promise<void> => {
    if ('send' in question) {
      await send(question.send);
      process.send?.('sent');
    } else if ('attempt' in question) {
      process.send?.(await attemptAll(question.attempt));
    } else {
      process.send?.(await receiver.take(question.take));
    }
  };
  process.on('message', (question: PeerQuestion) => {
    answer(question).catch(fail);
  });
  process.on('disconnect', () => receiver.close());
  process.send?.('ready');
}

/** Who asked sees us end. */
function fail(error: unknown): void {
  console.error(error);
  process.exit(1);
}

const portsOf = (text = '') => (text === '' ? [] : text.split(',').map(Number));
main(portsOf(process.argv[2]), portsOf(process.argv[3])).catch(fail);
