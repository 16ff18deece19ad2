// Goal: a client cannot make the broker hold more than it should: not by announcing a large packet, not by
// never finishing one, not by not reading; and what passes is passed on unchanged.
// Method: the framing is fed packets cut at every place; the stream stands on a real TLS pair.

import { once } from 'node:events';
import { connect, createServer, type TLSSocket } from 'node:tls';
import fc from 'fast-check';
import t from 'tap';
import { Framing, GuardedStream, type GuardLimits } from '../../../fleet/link/guard.ts';
import { testAuthority } from '../test-authority.ts';

const limits: GuardLimits = {
  connectBytesMax: 100,
  packetBytesMax: 1000,
  packetMsMax: 150,
  backlogBytesMax: 200_000,
};

/** A packet of a type with so many bytes after its length. */
function packet(type: number, bytes: number): Buffer {
  const length: number[] = [];
  let left = bytes;
  do {
    length.push((left & 0x7f) | (left > 127 ? 0x80 : 0));
    left >>= 7;
  } while (left > 0);
  return Buffer.concat([Buffer.from([type << 4, ...length]), Buffer.alloc(bytes, 0x55)]);
}

t.test('the framing', async (t) => {
  t.test('follows packets wherever they are cut', async (t) => {
    const sizes = fc.array(fc.oneof(fc.constantFrom(0, 1, 127, 128, 1000), fc.nat(1000)), { maxLength: 8 });
    fc.assert(
      fc.property(
        sizes,
        fc.nat(100),
        fc.infiniteStream(fc.integer({ min: 1, max: 300 })),
        (bodies, first, cuts) => {
          const framing = new Framing(limits);
          const stream = Buffer.concat([packet(1, first), ...bodies.map((bytes) => packet(3, bytes))]);
          let at = 0;
          while (at < stream.length) {
            const cut = cuts.next().value ?? 1;
            if (framing.take(stream.subarray(at, at + cut)) !== null) return false;
            at += cut;
          }
          return !framing.isInside && framing.whole === bodies.length + 1;
        },
      ),
    );
    t.pass('packets counted');
  });

  t.test('refuses in the first bytes what is too long', async (t) => {
    const begun = () => {
      const framing = new Framing(limits);
      t.equal(framing.take(packet(1, 10)), null);
      return framing;
    };
    t.equal(begun().take(packet(3, 1000)), null);
    t.match(begun().take(packet(3, 1001).subarray(0, 3)), /1001 bytes, 1000 allowed/);
    t.match(begun().take(Buffer.from([0x30, 0xff, 0xff, 0xff, 0x7f])), /268435455 bytes/);
    t.match(begun().take(Buffer.from([0x30, 0xff, 0xff, 0xff, 0xff])), /more than four bytes/);
    t.match(new Framing(limits).take(packet(1, 101)), /101 bytes, 100 allowed/);
    t.match(new Framing(limits).take(packet(3, 10)), /not a CONNECT/);
    t.match(new Framing(limits).take(Buffer.from('GET / HTTP/1.1\r\n')), /not a CONNECT/);
  });
});

t.test('the stream', async (t) => {
  const authority = testAuthority();
  const pair = async (given: Partial<GuardLimits> = {}) => {
    const server = createServer({ cert: authority.server.certificate, key: authority.server.key });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    const client = connect({ port, host: '127.0.0.1', ca: authority.certificate });
    client.on('error', () => {});
    const [socket] = (await once(server, 'secureConnection')) as [TLSSocket];
    const stream = new GuardedStream(socket, { ...limits, ...given });
    const ended = new Promise<string>((resolve) => {
      let reason = 'closed';
      stream.on('error', (error) => {
        reason = error.message;
      });
      stream.on('close', () => resolve(reason));
    });
    t.teardown(() => {
      client.destroy();
      stream.destroy();
      server.close();
    });
    return { client, stream, ended, socket };
  };

  t.test('passes both ways', async (t) => {
    const { client, stream } = await pair();
    const sent = Buffer.concat([packet(1, 50), packet(3, 900), packet(12, 0)]);
    client.write(sent);
    const got: Buffer[] = [];
    while (Buffer.concat(got).length < sent.length) {
      await once(stream, 'readable');
      for (let chunk = stream.read(); chunk !== null; chunk = stream.read()) got.push(chunk as Buffer);
    }
    t.same(Buffer.concat(got), sent);
    stream.cork();
    stream.write(Buffer.from('one '));
    stream.write(Buffer.from('two'));
    process.nextTick(() => stream.uncork());
    const [back] = (await once(client, 'data')) as [Buffer];
    t.equal(back.toString(), 'one two');
  });

  t.test('ends a connection that announces too much, before it has sent it', async (t) => {
    const { client, stream, ended } = await pair();
    stream.resume();
    client.write(Buffer.concat([packet(1, 10), packet(3, 5000).subarray(0, 4)]));
    t.match(await ended, /5000 bytes, 1000 allowed/);
  });

  t.test('ends a packet that does not become whole, and not a busy stream of whole ones', async (t) => {
    const slow = await pair();
    slow.stream.resume();
    slow.client.write(packet(1, 50).subarray(0, 20));
    const busy = await pair();
    busy.stream.resume();
    busy.client.write(packet(1, 50));
    // Each write ends one packet and begins the next: always inside of one, never in one for long.
    const [head, tail] = [packet(3, 500).subarray(0, 100), packet(3, 500).subarray(100)];
    busy.client.write(head);
    const feeding = setInterval(() => busy.client.write(Buffer.concat([tail, head])), 20);
    t.teardown(() => clearInterval(feeding));
    t.match(await slow.ended, /not whole within 150 ms/);
    await new Promise((resolve) => setTimeout(resolve, 400));
    t.notOk(busy.stream.destroyed, 'the busy one goes on');
    clearInterval(feeding);
    t.match(await busy.ended, /not whole/, 'and ends when it stops in the middle');
  });

  t.test('leaves a slow reader behind, or waits for it', async (t) => {
    const slow = await pair();
    slow.client.pause();
    const chunk = Buffer.alloc(64 * 1024);
    for (let sent = 0; sent < 200 && !slow.stream.destroyed; sent += 1) {
      slow.stream.write(chunk);
      await new Promise((resolve) => setImmediate(resolve));
    }
    t.match(await slow.ended, /slow reader/);

    const patient = await pair();
    patient.stream.setPatience('wait');
    patient.client.pause();
    let accepted = 0;
    const write = () =>
      patient.stream.write(chunk, () => {
        accepted += 1;
      });
    for (let sent = 0; sent < 200; sent += 1) write();
    await new Promise((resolve) => setTimeout(resolve, 100));
    t.ok(accepted < 200, `${accepted} of 200 were taken before the reader read`);
    t.notOk(patient.stream.destroyed);
    patient.client.resume();
    while (accepted < 200) await new Promise((resolve) => setTimeout(resolve, 10));
    t.pass('and all of them once it did');
  });

  t.test('last words are sent before an orderly end', async (t) => {
    const { client, stream } = await pair();
    stream.write(Buffer.from('refused'));
    stream.destroy();
    const [said] = (await once(client, 'data')) as [Buffer];
    t.equal(said.toString(), 'refused');
  });
});
