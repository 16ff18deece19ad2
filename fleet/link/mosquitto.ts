// The broker's rules (rules.ts) in the words of Mosquitto 2: a configuration and an access list for each
// of three listeners.
//
//   8883  devices and the controller   mutual TLS; common name = username = client id
//   8884  boxes that enroll            TLS; username = claim, no password
//   8885  services, on loopback        mutual TLS; common name = username, any client id
//
// What Mosquitto 2.0 cannot do, and what that means, is in the file it gets (`limits`): it grants every
// SUBSCRIBE and filters what is delivered, does not look at retain flags or wills apart from the topic,
// and takes over a connection for whoever comes with its client id on another listener.

import { payloadBytesMax } from '../../agent/contract/limits.ts';

export interface MosquittoOptions {
  readonly tenant: string;
  /** Where the files will lie, absolute. */
  readonly folder: string;
  /** Address for devices and enrollment; all of them where it is not given. */
  readonly listen?: string | undefined;
  readonly port: number;
  readonly enrollPort: number;
  readonly servicesPort: number;
  readonly servicesListen: string;
  /** Common names of service certificates. */
  readonly services: readonly string[];
}

export interface MosquittoFile {
  readonly name: string;
  readonly content: string;
}

/** Name of the controller's own certificate. */
const controller = 'controller';

export function mosquittoFiles(options: MosquittoOptions): readonly MosquittoFile[] {
  const { tenant } = options;
  return [
    { name: 'mosquitto.conf', content: configuration(options) },
    { name: 'devices.acl', content: devicesAcl(tenant, options.services) },
    { name: 'services.acl', content: servicesAcl(tenant, options.services) },
    { name: 'enroll.acl', content: enrollAcl(tenant) },
  ];
}

const limits = `# What this broker does not enforce, where the one built into husk does:
#  - a SUBSCRIBE to a foreign topic is granted; nothing is ever delivered for it
#  - a device may retain messages in its own branch, and have its will anywhere in it
#  - client ids are one space over all listeners: whoever knows a device's id can end its connection from
#    the enrollment listener (not read or write anything of it). Keep 8884 to networks where boxes enroll.`;

function configuration(options: MosquittoOptions): string {
  const { folder, listen, port, enrollPort, servicesPort, servicesListen } = options;
  const at = listen === undefined ? '' : ` ${listen}`;
  const server = `certfile ${folder}/server.pem\nkeyfile ${folder}/server.key\ncafile ${folder}/authority.pem`;
  const mutual = 'require_certificate true\nuse_identity_as_username true\nallow_anonymous false';
  return `# Mosquitto 2 for a fleet of Husk, made by \`husk broker-config mosquitto\`. Make it again rather than edit it.
#
${limits}

per_listener_settings true
# Retained state is published again by the controller and by devices when they connect.
persistence false
message_size_limit ${payloadBytesMax}
max_packet_size ${payloadBytesMax + 1024}
# The controller gets the retained state of the whole fleet at once.
max_queued_messages 100000
max_inflight_messages 100
persistent_client_expiration 1h

# Devices and the controller. The client id is the certificate's name, whatever the client says.
listener ${port}${at}
${server}
${mutual}
use_username_as_clientid true
max_qos 1
acl_file ${folder}/devices.acl

# Boxes that enroll: they have a token and no certificate yet.
listener ${enrollPort}${at}
${server}
require_certificate false
allow_anonymous true
allow_zero_length_clientid false
max_connections 500
max_qos 1
acl_file ${folder}/enroll.acl

# People and systems with a service certificate, several connections with one certificate.
listener ${servicesPort} ${servicesListen}
${server}
${mutual}
max_qos 1
acl_file ${folder}/services.acl
`;
}

function devicesAcl(tenant: string, services: readonly string[]): string {
  return `# A device: its own branch and the broadcasts of its tenant. %u is the common name of its certificate.
pattern write husk/${tenant}/d/%u/up/#
pattern read husk/${tenant}/d/%u/dn/#
pattern read husk/${tenant}/b/#

${users(tenant, services)}`;
}

function servicesAcl(tenant: string, services: readonly string[]): string {
  return `# Whoever is not named here may connect and gets nothing.
${users(tenant, services)}`;
}

function users(tenant: string, services: readonly string[]): string {
  const ours = `user ${controller}
topic read husk/${tenant}/#
topic write husk/${tenant}/d/+/dn/#
topic write husk/${tenant}/b/#
topic write husk/${tenant}/c/+/+/dn
`;
  const theirs = services.map(
    (name) => `user ${name}
topic read husk/${tenant}/#
topic write husk/${tenant}/d/+/dn/rq
topic write husk/${tenant}/b/q
`,
  );
  return [ours, ...theirs].join('\n');
}

function enrollAcl(tenant: string): string {
  return `# %u is the claim (the token's id), %c the client id: one branch per client.
pattern write husk/${tenant}/c/%u/%c/up
pattern read husk/${tenant}/c/%u/%c/dn
`;
}
