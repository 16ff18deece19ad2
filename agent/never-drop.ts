// What is never dropped on this device: its configuration, with the way to its controller added.

import type { NeverDrop, Service } from './policy/device-view.ts';
import { parseEndpoint } from './trust/join.ts';

/**
 * `endpoints`: `mqtts://host:port` of brokers and enrollment listeners. One that is named by a name is taken at any
 * address: what it resolves to may change while a generation is in force.
 */
export function withControllers(configured: NeverDrop, endpoints: readonly string[]): NeverDrop {
  const services = new Map(configured.services.map((service) => [keyOf(service), service]));
  for (const endpoint of endpoints) {
    const { host, port } = parseEndpoint(endpoint);
    const service: Service = { protocol: 'tcp', port, address: isLiteral(host) ? host : null };
    services.set(keyOf(service), service);
  }
  return { ...configured, services: [...services.values()] };
}

const keyOf = ({ protocol, port, address }: Service) => `${protocol} ${port} ${address}`;
/** An IPv6 address comes without its brackets. */
const isLiteral = (host: string) => host.includes(':') || /^\d+(\.\d+){3}$/.test(host);
