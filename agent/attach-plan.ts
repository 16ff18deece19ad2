// Which interfaces get programs, and at which hooks: a pure function of the policy and the device.
//
// An interface that a zone names is judged, unless another one is the point for its packets (policy/zone-rows.ts).
// Incoming packets are judged by XDP where a frame begins with an Ethernet header and the driver runs XDP, since
// it costs least there; by tc where XDP does not see them as they are:
//
//   no Ethernet header                    tun, ppp, wwan: XDP is not offered, or sees another kind of frame
//   a bridge, VLAN, macvlan, pppoe        has no driver of its own; XDP would be the generic one, which tc beats
//   a bond                                runs XDP on its ports, under their indexes, which are in no zone
//   the card takes VLAN tags off          and the policy asks for tags, or leaves some to a VLAN interface
//
// Where native XDP is refused by the driver, the next way is taken when it is tried (kernel/attach.ts).

import type { AttachAt, IngressTry } from './kernel/attach.ts';
import type { DeviceView } from './policy/device-view.ts';
import { matchesGlob } from './policy/globs.ts';
import type { PolicyZone } from './policy/policy-zones.ts';
import type { LeftOut } from './policy/table-image.ts';
import { placeInterfaces, type ZoneOf } from './policy/zone-rows.ts';

export interface AttachPlan {
  readonly interfaces: readonly AttachAt[];
  readonly leftOut: readonly LeftOut[];
}

export function planAttach(
  zones: readonly PolicyZone[],
  device: DeviceView,
  xdpMode: 'native' | 'generic',
): AttachPlan {
  const { placed, leftOut } = placeZones(zones, device);
  return {
    interfaces: placed
      .filter((one) => one.leftOut === null)
      .map((one) => ({
        name: one.interface.name,
        index: one.interface.index,
        ingress: ingressTries(one, xdpMode),
      })),
    leftOut,
  };
}

export function placeZones(zones: readonly PolicyZone[], device: DeviceView) {
  return placeInterfaces(
    device,
    (name) => zones.find(({ interfaces }) => interfaces.some((glob) => matchesGlob(glob, name))) ?? null,
  );
}

function ingressTries(one: ZoneOf<PolicyZone>, xdpMode: 'native' | 'generic'): readonly IngressTry[] {
  const why = whyTc(one);
  return why === null
    ? [
        { way: xdpMode, why: '' },
        { way: 'tc', why: '' },
      ]
    : [{ way: 'tc', why }];
}

/** null: XDP sees all there is to see. */
function whyTc({ interface: at, zone, defersVlans }: ZoneOf<PolicyZone>): string | null {
  if (at.link === 'ip') return 'no Ethernet header';
  if (at.over?.kind === 'bond') return 'XDP of a bond runs on its ports';
  if (at.over !== undefined) return `a ${at.over.kind} has no driver to run XDP`;
  if (at.stripsTags !== true) return null;
  if (defersVlans) return 'the card takes off the tags of VLANs with zones of their own';
  return zone.asksForTags ? 'the card takes off the VLAN tags that the policy asks for' : null;
}
