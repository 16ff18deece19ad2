// Inside a guest: the other end of the wire (wire.ts), a program of its own in the peer's network namespace. Sends
// and counts as it is asked to by the one that started it.
//
//   node peer.cjs PORT...

import { type PeerQuestion, Receiver, send } from './wire.ts';

async function main(ports: readonly number[]): Promise<void> {
  const receiver = await Receiver.open(ports);
  const answer = async (question: PeerQuestion): Promise<void> => {
    if ('send' in question) {
      await send(question.send);
      process.send?.('sent');
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

main(process.argv.slice(2).map(Number)).catch(fail);
