// Goal: the API takes what its routes say and answers everything else with a reason and the right status.
// Method: requests over the socket of a running controller, right and wrong.

import { request } from 'node:http';
import t from 'tap';
import { dataPaths } from '../../../fleet/data-folder.ts';
import { TestController } from '../test-controller.ts';

const fleet = new TestController(t);
await fleet.start();
const { socket } = dataPaths(fleet.folder);

function ask(method: string, path: string, body?: unknown, type = 'application/json') {
  return new Promise<{ status: number; value: { error?: { code: string; message: string } } }>(
    (resolve, reject) => {
      const payload = body === undefined ? '' : typeof body === 'string' ? body : JSON.stringify(body);
      const headers =
        body === undefined ? {} : { 'content-type': type, 'content-length': Buffer.byteLength(payload) };
      const asking = request({ socketPath: socket, method, path, headers }, (response) => {
        let text = '';
        response.on('data', (chunk) => {
          text += chunk;
        });
        response.on('end', () => resolve({ status: response.statusCode ?? 0, value: JSON.parse(text) }));
      });
      asking.on('error', reject);
      asking.end(payload);
    },
  );
}

t.test('what is not as the routes say is 400, and changes nothing', async (t) => {
  const wrong: readonly (readonly [method: string, path: string, body: unknown])[] = [
    ['POST', '/v1/tokens', { uses: 0 }],
    ['POST', '/v1/tokens', { uses: 1.5 }],
    ['POST', '/v1/tokens', { uses: 1, more: 1 }],
    ['POST', '/v1/tokens', { deviceUrl: 'http://x' }],
    ['POST', '/v1/tokens', { deviceUrl: 'mqtts://u@x' }],
    ['POST', '/v1/tokens', '{"uses":1'],
    ['POST', '/v1/tokens', '{"__proto__":{"uses":2}}'],
    ['POST', '/v1/bundles', {}],
    ['POST', '/v1/bundles', { documents: [], devices: 'all' }],
    ['POST', '/v1/bundles', { documents: [{}], devices: 'some' }],
    ['POST', '/v1/bundles', { documents: [{}], devices: [] }],
    ['POST', '/v1/bundles', { documents: ['x'], devices: 'all' }],
    ['POST', '/v1/bundles', { documents: [{}], devices: 'all', trialSeconds: 0 }],
    ['POST', '/v1/bundles', { documents: [{}], devices: 'all', title: 'a\nb' }],
    ['POST', '/v1/devices/x/query', { view: 'shell' }],
    ['POST', '/v1/devices/x/permits', { purpose: 'unprotect' }],
    ['POST', '/v1/devices/x/permits', { purpose: 'all', boot: '1' }],
    ['POST', '/v1/devices/x/permits', { purpose: 'unprotect', boot: '1', validSeconds: 90_000 }],
    ['POST', '/v1/devices/x/query', { view: 'rules', withinMs: 1 }],
    ['GET', '/v1/events?count=0', undefined],
    ['GET', '/v1/events?count=x', undefined],
    ['GET', '/v1/events?stream=x', undefined],
    ['GET', '/v1/events?more=1', undefined],
    ['GET', '/v1/audit?count=5000', undefined],
    ['GET', '/v1/bundles/x', undefined],
  ];
  for (const [method, path, body] of wrong) {
    const { status, value } = await ask(method, path, body);
    t.equal(status, 400, `${method} ${path} ${JSON.stringify(body)}`);
    t.ok(value.error?.code && value.error.message);
  }
  t.match(await ask('POST', '/v1/tokens', 'uses=1', 'application/x-www-form-urlencoded'), { status: 415 });
  t.same((await ask('GET', '/v1/tokens')).value, []);
});

t.test('what is not there is 404', async (t) => {
  for (const path of [
    '/',
    '/v1',
    '/v1/nothing',
    '/v1/devices/nobody',
    '/v1/bundles/7',
    '/../../etc/passwd',
  ]) {
    t.match(await ask('GET', path), { status: 404, value: { error: { code: 'not-found' } } }, path);
  }
  t.match(await ask('DELETE', '/v1/tokens/nope'), { status: 404 });
  t.match(await ask('DELETE', '/v1/devices'), { status: 404 });
});

t.test('documents are checked again, whoever sends them', async (t) => {
  await fleet.enroll({ hardwareId: 'hw' });
  const set = (addresses: unknown) => ({
    apiVersion: 'husk/v1',
    kind: 'AddressSet',
    metadata: { name: 'a' },
    spec: { addresses },
  });
  const wrong = [
    [{}],
    [{ kind: 'AddressSet' }],
    [set(['nonsense'])],
    [set(['192.0.2.1']), set(['192.0.2.2'])],
    [set('192.0.2.1')],
  ];
  for (const documents of wrong) {
    const { status, value } = await ask('POST', '/v1/bundles', { documents, devices: 'all' });
    t.match(
      { status, value },
      { status: 400, value: { error: { code: 'policy.invalid', message: /documents\[/ } } },
      JSON.stringify(documents),
    );
  }
  t.same((await ask('GET', '/v1/bundles')).value, []);
  const right = await ask('POST', '/v1/bundles', { documents: [set(['192.0.2.1'])], devices: 'all' });
  t.match(right, { status: 201, value: { serial: 1, trialSeconds: 120, devices: [String] } });
});

t.test('waiting for events ends when there are some, or after a while', async (t) => {
  const start = Date.now();
  t.same((await ask('GET', '/v1/events?after=0&waitMs=200')).value, []);
  t.ok(Date.now() - start >= 190);
  const device = await fleet.device({ hardwareId: 'hw-2' });
  t.teardown(() => device.vanish());
  const waiting = ask('GET', '/v1/events?after=0&waitMs=20000');
  const event = { seq: 1, mono: 1, ts: null, tq: 'none', event: { kind: 'audit', what: 'x', detail: {} } };
  await device.say(device.topics.events, 'ev.batch', { stream: 'audit', events: [event] });
  t.match((await waiting).value, [{ device: device.device.id, event: { what: 'x' } }]);
  t.ok(Date.now() - start < 15_000);
});

t.test('who waits does not keep the controller from ending', async (t) => {
  const waiting = ask('GET', '/v1/events?after=999&waitMs=30000').catch(() => 'closed');
  await new Promise((resolve) => setTimeout(resolve, 100));
  const start = Date.now();
  await fleet.stop();
  t.ok(Date.now() - start < 3000, `${Date.now() - start} ms`);
  await waiting;
});
