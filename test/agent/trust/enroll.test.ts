// Goal: a join line becomes an identity, and an answer that does not hold what the line pins becomes nothing.
// Method: the real client over real TLS and a real broker; the controller is a few lines here, so that it can
// lie in one point at a time. The controller that is shipped is met in test/flow.

import { createHash, createHmac, createPublicKey, randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join as joinPath } from 'node:path';
import t from 'tap';
import {
  answerItems,
  type EnrollmentUp,
  enrollmentItems,
  enrollmentTranscript,
  type Granted,
  type Join,
  joinPrefix,
} from '../../../agent/contract/enrollment.ts';
import { enrollmentTopics } from '../../../agent/contract/topics.ts';
import { EnrollmentChannel } from '../../../agent/link/enrollment-channel.ts';
import { DiskFiles } from '../../../agent/os/files.ts';
import { systemRandom } from '../../../agent/os/random.ts';
import { type Enrolled, EnrollmentRefusal, enroll, UntrustedAnswer } from '../../../agent/trust/enroll.ts';
import { type Identity, IdentityStore, makeCertificateRequest } from '../../../agent/trust/identity.ts';
import { parseEndpoint, parseJoin } from '../../../agent/trust/join.ts';
import { keyId } from '../../../agent/trust/keys.ts';
import { fetchPinnedAuthority } from '../../../agent/trust/pinned-authority.ts';
import { publicKeyOfRequest, requestDer } from '../../../fleet/identity/certificate-request.ts';
import { makeAuthority, pem, rsaKey, type TestAuthority, TestBroker } from '../link/broker.ts';

const certificates = makeAuthority();
const stranger = makeAuthority();
const device = 'abcdefghijklmnopqrstuvwxyz';
const secret = randomBytes(32);
const signer = Buffer.alloc(32, 0x42);
const key = pem(rsaKey());
const request = makeCertificateRequest(key);

type Test = Pick<typeof t, 'teardown'>;
type Lie = (honest: Granted, up: Extract<EnrollmentUp, { step: 'request' }>) => Granted;

interface Controller {
  readonly join: Join;
  /** Requests whose proof was right. */
  readonly proven: string[];
}

/** Answers as a controller does; `lie` changes the answer before its proof is made, `forge` after. */
async function controller(
  t: Test,
  change: { readonly lie?: Lie; readonly forge?: Lie; readonly refuse?: boolean; readonly raw?: string } = {},
): Promise<Controller> {
  const broker = await TestBroker.start(certificates, { clientCertificates: false });
  t.teardown(() => broker.close());
  const proven: string[] = [];
  const nonces = new Map<string, readonly [device: string, server: string]>();
  const join: Join = {
    v: 1,
    enroll: `mqtts://127.0.0.1:${broker.endpoint.port}`,
    broker: 'mqtts://127.0.0.1:8883',
    tenant: 'acme',
    token: 'token-1',
    secret: secret.toString('base64url'),
    authority: certificates.authority.digest,
    signer: keyId(signer),
  };
  const answer = (topic: string, payload: Buffer): string | null => {
    const client = topic.split('/')[4] ?? '';
    if (!topic.endsWith('/up')) return null;
    if (change.raw !== undefined) return change.raw;
    const up = JSON.parse(payload.toString()) as EnrollmentUp;
    if (up.step === 'hello') {
      const serverNonce = randomBytes(32).toString('hex');
      nonces.set(client, [up.deviceNonce, serverNonce]);
      return JSON.stringify({ v: 1, step: 'challenge', serverNonce });
    }
    if (change.refuse === true) {
      return JSON.stringify({ v: 1, step: 'refused', refusal: { code: 'enroll.conflict', detail: 'taken' } });
    }
    const [deviceNonce, serverNonce] = nonces.get(client) ?? ['', ''];
    const der = requestDer(up.csr);
    const items = enrollmentItems({
      ...{ tenant: 'acme', claim: 'token-1', client, deviceNonce, serverNonce },
      csrDigest: createHash('sha256').update(der).digest('hex'),
      hardwareId: up.hardwareId,
    });
    const proofOf = (side: 'device' | 'server', all: readonly string[]) =>
      createHmac('sha256', secret).update(enrollmentTranscript(side, all)).digest('hex');
    if (up.proof === proofOf('device', items)) proven.push(client);
    const issued = certificates.authority.issueDevice({ device, publicKey: publicKeyOfRequest(der) });
    const honest: Granted = {
      ...{ v: 1, step: 'granted', device, certificate: issued.pem, proof: '' },
      authority: certificates.authority.certificate,
      signers: [signer.toString('base64')],
      time: 1_795_447_525,
    };
    const said = change.lie?.(honest, up) ?? honest;
    const sealed = { ...said, proof: proofOf('server', [...items, ...answerItems(said)]) };
    return JSON.stringify(change.forge?.(sealed, up) ?? sealed);
  };
  broker.aedes.on('publish', (packet, client) => {
    if (client === null) return;
    const reply = answer(packet.topic, Buffer.from(packet.payload));
    if (reply !== null) void broker.publish(packet.topic.replace(/\/up$/, '/dn'), reply);
  });
  return { join, proven };
}

function attempt(join: Join, hardwareId = 'box-1'): Promise<Enrolled> {
  const endpoint = parseEndpoint(join.enroll);
  return enroll(
    {
      ...{ join, key, request, hardwareId, hostname: 'host', random: systemRandom },
      authority: (signal) => fetchPinnedAuthority(endpoint, join.authority, signal),
      open: (authority, client, signal) =>
        EnrollmentChannel.open(
          { endpoint, authority, tenant: join.tenant, claim: join.token, client },
          signal,
        ),
    },
    AbortSignal.timeout(20_000),
  );
}

t.test('an honest controller makes an identity', async (t) => {
  const { join, proven } = await controller(t);
  const { identity, time } = await attempt(join);
  t.equal(identity.device, device);
  t.equal(identity.broker, join.broker);
  t.strictSame(identity.signers, [signer.toString('base64')]);
  t.equal(time, 1_795_447_525);
  t.equal(proven.length, 1, 'and has seen the right proof from us');
});

t.test('a refusal comes with its code and what to do', async (t) => {
  const { join } = await controller(t, { refuse: true });
  await t.rejects(attempt(join), EnrollmentRefusal);
  await t.rejects(attempt(join), /enroll\.conflict: taken\. .*hardwareId/);
});

t.test('an answer that does not hold what the join line pins is not believed', async (t) => {
  const otherKey = createPublicKey(rsaKey());
  const caught: readonly (readonly [string, Parameters<typeof controller>[1], RegExp])[] = [
    ['a changed device name', { forge: (g) => ({ ...g, device: 'b'.repeat(26) }) }, /proof/],
    ['a changed time', { forge: (g) => ({ ...g, time: 4_000_000_000 }) }, /proof/],
    ['another proof', { forge: (g) => ({ ...g, proof: '00'.repeat(32) }) }, /proof/],
    ['another authority', { lie: (g) => ({ ...g, authority: stranger.authority.certificate }) }, /authority/],
    [
      'a certificate of another authority',
      {
        lie: (g, up) => {
          const publicKey = publicKeyOfRequest(requestDer(up.csr));
          return { ...g, certificate: stranger.authority.issueDevice({ device, publicKey }).pem };
        },
      },
      /not from the pinned authority/,
    ],
    [
      'a certificate for another key',
      {
        lie: (g) => ({
          ...g,
          certificate: certificates.authority.issueDevice({ device, publicKey: otherKey }).pem,
        }),
      },
      /another key/,
    ],
    ['a certificate for another name', { lie: (g) => ({ ...g, device: 'b'.repeat(26) }) }, /names/],
    [
      'another signer',
      { lie: (g) => ({ ...g, signers: [Buffer.alloc(32, 9).toString('base64')] }) },
      /signer/,
    ],
    ['a signer in odd base64', { lie: (g) => ({ ...g, signers: [`${g.signers[0]}\n`] }) }, /signer/],
    ['a field more', { forge: (g) => ({ ...g, more: 1 }) as Granted }, /malformed/],
    ['no JSON', { raw: '{' }, /cannot be read/],
    ['an answer out of order', { raw: JSON.stringify({ v: 1, step: 'hello' }) }, /malformed/],
    ['too much', { raw: `"${'x'.repeat(20_000)}"` }, /cannot be read/],
  ];
  for (const [name, change, why] of caught) {
    const { join } = await controller(t, change);
    const error = await attempt(join).then(
      () => null,
      (error: unknown) => error,
    );
    t.ok(error instanceof UntrustedAnswer, `${name} is not believed`);
    t.match((error as Error | null)?.message, why, name);
  }
});

t.test('signers beside the pinned one are not taken', async (t) => {
  const { join } = await controller(t, {
    lie: (g) => ({ ...g, signers: [Buffer.alloc(32, 9).toString('base64'), ...g.signers] }),
  });
  const { identity } = await attempt(join);
  t.strictSame(identity.signers, [signer.toString('base64')]);
});

t.test('a server of another authority is not spoken to', async (t) => {
  const { join, proven } = await controller(t);
  await t.rejects(attempt({ ...join, authority: stranger.authority.digest }), /does not show the authority/);
  t.equal(proven.length, 0);
});

t.test('a server that shows the pinned authority and is not from it is not spoken to', async (t) => {
  // The chain it shows ends in the pinned certificate; its own was issued by somebody else.
  const posing: TestAuthority = {
    ...stranger,
    server: {
      certificate: stranger.server.certificate.replace(
        stranger.authority.certificate,
        certificates.authority.certificate,
      ),
      key: stranger.server.key,
    },
  };
  const broker = await TestBroker.start(posing, { clientCertificates: false });
  t.teardown(() => broker.close());
  const { join } = await controller(t);
  const error = await attempt({ ...join, enroll: `mqtts://127.0.0.1:${broker.endpoint.port}` }).then(
    () => null,
    (error: unknown) => error,
  );
  t.ok(error instanceof Error, String(error));
  t.equal(broker.seen.length, 0, 'nothing was sent to it');
});

t.test('the join line is read strictly', async (t) => {
  const { join } = await controller(t);
  const line = (value: unknown) => joinPrefix + Buffer.from(JSON.stringify(value)).toString('base64url');
  t.strictSame(parseJoin(`  ${line(join)}\n`), join);
  const faults: readonly (readonly [string, string])[] = [
    ['without its prefix', line(join).slice(joinPrefix.length)],
    ['cut short', line(join).slice(0, -3)],
    ['with a field more', line({ ...join, more: 1 })],
    ['with a short secret', line({ ...join, secret: 'AAAA' })],
    ['with a plain broker', line({ ...join, broker: 'mqtt://h:1' })],
    ['with a path in the address', line({ ...join, enroll: 'mqtts://h:1/x' })],
    ['with a wildcard for a tenant', line({ ...join, tenant: '+' })],
  ];
  for (const [name, text] of faults) t.throws(() => parseJoin(text), Error, name);
  try {
    parseJoin(line({ ...join, tenant: '+' }));
  } catch (error) {
    t.notMatch((error as Error).message, join.secret, 'the secret is not shown');
  }
  t.strictSame(parseEndpoint('mqtts://[2001:db8::1]:1234'), { host: '2001:db8::1', port: 1234 });
});

t.test('the identity is kept whole, and only root may read it', async (t) => {
  const folder = mkdtempSync(joinPath(tmpdir(), 'husk-identity-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const place = joinPath(folder, 'identity');
  const store = () => new IdentityStore(new DiskFiles(), place);
  t.equal(store().load(), null, 'none before enrollment');
  const pending = await store().pendingKey();
  t.equal(await store().pendingKey(), pending, 'a key that was begun with is gone on with');
  writeFileSync(joinPath(place, 'pending-key.pem'), pending.slice(0, 100));
  t.not(await store().pendingKey(), pending, 'one that was cut short is replaced');

  const credentials = certificates.device(device);
  const identity: Identity = {
    ...{ tenant: 'acme', device, broker: 'mqtts://h:1', signers: [signer.toString('base64')] },
    key: credentials.key ?? '',
    certificate: credentials.certificate ?? '',
    authority: credentials.authority,
  };
  store().store(identity);
  t.strictSame(store().load(), identity);
  t.strictSame(readdirSync(place), ['identity.json'], 'the pending key is gone');
  t.equal(statSync(joinPath(place, 'identity.json')).mode & 0o777, 0o600);
  t.equal(statSync(place).mode & 0o777, 0o700);

  store().store({ ...identity, key });
  t.throws(() => store().load(), /differ; remove it/, 'another key than the certificate has is a fault');
  writeFileSync(joinPath(place, 'identity.json'), '{');
  t.throws(() => store().load(), /remove it to enroll again/, 'and so is a damaged file');
});

t.test('topics of enrollment', async (t) => {
  t.strictSame(enrollmentTopics('acme', 'token-1', 'ab'), {
    up: 'husk/acme/c/token-1/ab/up',
    down: 'husk/acme/c/token-1/ab/dn',
  });
});
