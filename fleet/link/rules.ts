// Who may do what at the broker. Pure: the embedded broker asks these functions, the configuration for
// Mosquitto says the same in its words, and the tests of both run over one table.
//
//   party        publishes                            subscribes                  connects as
//   device       own d/<dev>/up/…; retained: st, rep  own d/<dev>/dn/…, b/…       client id = common name
//   service      d/<dev>/dn/rq, b/q                   husk/<tenant>/…             any id
//   controller   d/<dev>/dn/…, b/…, c/<…>/dn          husk/<tenant>/…             any id
//   enrolling    c/<claim>/<client>/up                c/<claim>/<client>/dn       username = claim
//
// Tenant and role come from the certificate alone (organization, unit); an enrolling client has none and
// gets its two topics. Nobody uses QoS 2. A function gives back null, or what is wrong in a sentence.

import { devicePattern, deviceTopics, enrollmentTopics, namePattern } from '../../agent/contract/topics.ts';

export type Party =
  | { readonly kind: 'device'; readonly tenant: string; readonly device: string }
  | { readonly kind: 'service' | 'controller'; readonly tenant: string; readonly name: string }
  | { readonly kind: 'enrolling'; readonly tenant: string; readonly claim: string; readonly client: string };

/** Subject of a certificate that was verified against our authority. */
export interface Subject {
  readonly organization: unknown;
  readonly unit: unknown;
  readonly commonName: unknown;
}

export interface Connecting {
  readonly clientId: string;
  readonly username: string | null;
  readonly will: { readonly topic: string; readonly qos: number; readonly bytes: number } | null;
}

export interface Publishing {
  readonly topic: string;
  readonly qos: number;
  readonly retain: boolean;
}

export type Denial = string;

/** Filters one connection may hold. */
export const subscriptionsMax = 64;
/** Longest topic of ours is well below; a broker keeps what it is given. */
const topicBytesMax = 512;
const willBytesMax = 4096;

/** Who holds this certificate; a string says why nobody we know. */
export function partyOfCertificate(subject: Subject, tenant: string): Party | Denial {
  const { organization, unit, commonName } = subject;
  if (organization !== tenant) return 'the certificate is of another tenant';
  if (typeof commonName !== 'string') return 'the certificate has no single common name';
  if (unit === 'device') {
    return devicePattern.test(commonName)
      ? { kind: 'device', tenant, device: commonName }
      : 'the common name is not a device id';
  }
  if (unit === 'service' || unit === 'controller') {
    return namePattern.test(commonName) && !devicePattern.test(commonName)
      ? { kind: unit, tenant, name: commonName }
      : 'the common name is not a service name';
  }
  return 'the certificate is neither of a device nor of a service';
}

/** A client of the enrollment listener, by the name it gave. */
export function enrollingParty(connecting: Connecting, tenant: string): Party | Denial {
  const { clientId, username } = connecting;
  if (username === null || !namePattern.test(username)) return 'the username is not a claim';
  if (!namePattern.test(clientId)) return 'the client id is not a name';
  return { kind: 'enrolling', tenant, claim: username, client: clientId };
}

export function denyConnect(party: Party, connecting: Connecting): Denial | null {
  const { clientId, will } = connecting;
  if (party.kind === 'device' && clientId !== party.device) return 'the client id is not the common name';
  if (will === null) return null;
  if (party.kind !== 'device') return 'only a device has a will';
  if (will.topic !== deviceTopics(party.tenant, party.device).presence)
    return 'the will is not on its presence';
  if (will.qos > 1) return 'QoS 2 is not used';
  return will.bytes > willBytesMax ? `the will is longer than ${willBytesMax} bytes` : null;
}

export function denyPublish(party: Party, { topic, qos, retain }: Publishing): Denial | null {
  if (qos > 1) return 'QoS 2 is not used';
  if (!isTopic(topic)) return 'not a topic';
  const base = `husk/${party.tenant}`;
  switch (party.kind) {
    case 'device': {
      const own = deviceTopics(party.tenant, party.device);
      if (!topic.startsWith(`${base}/d/${party.device}/up/`)) return 'not its own branch';
      return retain && topic !== own.presence && topic !== own.reported ? 'not a retained topic' : null;
    }
    case 'service': {
      if (retain) return 'a service retains nothing';
      const device = deviceOf(topic, `${base}/d/`);
      const isQuestion = device !== null && topic === deviceTopics(party.tenant, device).request;
      return isQuestion || topic === `${base}/b/q` ? null : 'a service publishes questions only';
    }
    case 'controller': {
      const device = deviceOf(topic, `${base}/d/`);
      const isDown = device !== null && topic.startsWith(`${base}/d/${device}/dn/`);
      const isEnrollment = topic.startsWith(`${base}/c/`) && topic.endsWith('/dn');
      return isDown || isEnrollment || topic.startsWith(`${base}/b/`)
        ? null
        : 'not a topic of the controller';
    }
    case 'enrolling': {
      if (retain) return 'nothing is retained in enrollment';
      const own = enrollmentTopics(party.tenant, party.claim, party.client);
      return topic === own.up ? null : 'not its own branch';
    }
  }
}

export function denySubscribe(party: Party, filter: string): Denial | null {
  if (!isFilter(filter)) return 'not a filter';
  const base = `husk/${party.tenant}`;
  switch (party.kind) {
    case 'device': {
      const isOwn = filter.startsWith(`${base}/d/${party.device}/dn/`) || filter.startsWith(`${base}/b/`);
      return isOwn ? null : 'not its own branch';
    }
    case 'service':
    case 'controller':
      return filter.startsWith(`${base}/`) ? null : 'not in its tenant';
    case 'enrolling': {
      const own = enrollmentTopics(party.tenant, party.claim, party.client);
      return filter === own.down ? null : 'not its own branch';
    }
  }
}

/** The device whose branch a topic is in, where it is one. */
function deviceOf(topic: string, prefix: string): string | null {
  if (!topic.startsWith(prefix)) return null;
  const device = topic.slice(prefix.length).split('/')[0] ?? '';
  return devicePattern.test(device) ? device : null;
}

function isTopic(topic: string): boolean {
  return isFilter(topic) && !/[+#]/.test(topic);
}

/** Wildcards stand for whole levels, `#` at the end only (MQTT 4.7.1); printable ASCII is all our topics need. */
function isFilter(filter: string): boolean {
  if (filter.length === 0 || filter.length > topicBytesMax || !/^[\x21-\x7e]+$/.test(filter)) return false;
  const levels = filter.split('/');
  return levels.every((level, index) => {
    if (level === '#') return index === levels.length - 1;
    return level === '+' || !/[+#]/.test(level);
  });
}
