// What is in force where nothing else is: the first previous slot, and what three failed boots lead to.
//
// It judges no interface and shields no service, so that a device under it is as reachable as it was
// before Husk came. The never-drop list needs no rule.

import { apiVersion, type PolicyDocument } from '../contract/policy.ts';

export const baseline: readonly PolicyDocument[] = [
  {
    apiVersion,
    kind: 'PacketPolicy',
    metadata: { name: 'baseline' },
    spec: { mode: 'enforce', zones: {}, unparseable: 'allow', ingress: [], egress: [] },
  },
];
