// The MQTT topics, in one place. The table of what is retained, and by whom written, is in ../link/README.md.
//
//   husk/<tenant>/d/<device>/up/…   a device's own branch: it alone writes
//   husk/<tenant>/d/<device>/dn/…   what the fleet tells that device: it alone reads
//   husk/<tenant>/b/…               broadcast to all devices of a tenant
//   husk/<tenant>/c/<claim>/<client>/{up,dn}   enrollment, one branch per client; its MQTT username is the claim

/** A device's name: certificate common name, client id and topic level. 26 letters of base32 (RFC 4648 §6, lower case). */
export const devicePattern = /^[a-z2-7]{26}$/;
/** A tenant, a claim (token id), an asker: nothing that MQTT gives a meaning to. */
export const namePattern = /^[a-z0-9][a-z0-9-]{0,62}$/;
/** A SHA-256 digest in a topic or a document. */
export const digestPattern = /^[0-9a-f]{64}$/;

export interface DeviceTopics {
  /** retained, QoS 1: birth, goodbye and last will */
  readonly presence: string;
  /** retained, QoS 1: reported state */
  readonly reported: string;
  /** QoS 1: events in batches */
  readonly events: string;
  /** QoS 0: metrics */
  readonly metrics: string;
  /** QoS 1: what the device asks for: parts of a bundle, the confirmation of a trial */
  readonly ask: string;
  /** QoS 1: the answer to the asker `who` */
  answer(who: string): string;
  /** retained, QoS 1: desired state */
  readonly desired: string;
  /** retained, QoS 1: what it is to judge in shadow */
  readonly shadow: string;
  /** QoS 1: questions */
  readonly request: string;
  /** QoS 1: spool acknowledgements and signed confirmations */
  readonly acknowledge: string;
}

export function deviceTopics(tenant: string, device: string): DeviceTopics {
  const base = `husk/${tenant}/d/${device}`;
  return {
    presence: `${base}/up/st`,
    reported: `${base}/up/rep`,
    events: `${base}/up/ev`,
    metrics: `${base}/up/m`,
    ask: `${base}/up/ask`,
    answer: (who) => `${base}/up/rs/${who}`,
    desired: `${base}/dn/des`,
    shadow: `${base}/dn/sh`,
    request: `${base}/dn/rq`,
    acknowledge: `${base}/dn/ack`,
  };
}

/** Part `n` of the bundle with that digest, published on demand. */
export function blobTopic(tenant: string, digest: string, part: number): string {
  return `husk/${tenant}/b/blob/${digest}/${part}`;
}
/** All parts of a bundle, to subscribe to while it is fetched. */
export function blobFilter(tenant: string, digest: string): string {
  return `husk/${tenant}/b/blob/${digest}/+`;
}

export function enrollmentTopics(
  tenant: string,
  claim: string,
  client: string,
): { readonly up: string; readonly down: string } {
  const base = `husk/${tenant}/c/${claim}/${client}`;
  return { up: `${base}/up`, down: `${base}/dn` };
}

/** What the controller subscribes to: every device of every tenant it serves, `up` only. */
export function controllerFilters(tenant: string): readonly string[] {
  return ['st', 'rep', 'ev', 'm', 'ask'].map((leaf) => `husk/${tenant}/d/+/up/${leaf}`);
}

/** The device and the rest of a topic in a device's branch; null for any other topic. */
export function parseDeviceTopic(topic: string): {
  readonly tenant: string;
  readonly device: string;
  readonly direction: 'up' | 'dn';
  readonly leaf: string;
} | null {
  const level = topic.split('/');
  const [root, tenant, d, device, direction, ...rest] = level;
  if (root !== 'husk' || d !== 'd' || rest.length === 0) return null;
  if (tenant === undefined || !namePattern.test(tenant)) return null;
  if (device === undefined || !devicePattern.test(device)) return null;
  if (direction !== 'up' && direction !== 'dn') return null;
  return { tenant, device, direction, leaf: rest.join('/') };
}
