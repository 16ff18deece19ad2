// Whether a rule that was proven is also reached: a twin or a canary shows that the tables decide rightly,
// not that a hook is in the way of every packet and call the rule is about.
//
// A rule of a zone needs a hook of its direction on every interface that the zone names and that is there, but for
// those whose packets are judged elsewhere; a rule for calls needs all cgroup hooks. What lacks one is reported as degraded, with what is missing; so is a denial of
// connect, for which cgroup hooks are not the full set, and SYN cookies that the kernel does not give as the policy wants them.

import type { HardeningPolicy, PacketPolicy, PolicyDocument } from './contract/policy.ts';
import type { RuleState } from './contract/state.ts';
import { matchesGlob } from './policy/globs.ts';
import { synCookiesId, zoneDefaultId } from './policy/ids.ts';
import type { CompiledRule } from './policy/table-image.ts';

export interface CoverageFacts {
  readonly documents: readonly PolicyDocument[];
  readonly compiled: readonly Pick<CompiledRule, 'id' | 'at'>[];
  /** Names of all interfaces of the namespace, attachable or not. */
  readonly interfaces: readonly string[];
  /** Attached hooks, as in `xdp_ingress wan0 native` or `connect4 /sys/fs/cgroup/x`. */
  readonly hooks: readonly string[];
  /** Interfaces of zones that are judged elsewhere (policy/zone-rows.ts). */
  readonly leftOut?: readonly string[];
  /** `net.ipv4.tcp_syncookies`, which is about IPv6 too; null: the kernel has none. Absent: 2. */
  readonly synCookies?: number | null;
  /** What of `uncovered: drop` is not kept; '' where all of it is. */
  readonly uncoveredUnkept?: string;
  /**
   * Where IPsec goes by policy alone: the interfaces whose zones are not touched by that, since what passes them is
   * out of its envelope. null: it does not.
   */
  readonly ipsecApart?: readonly string[] | null;
}

const callHooks = ['sock_create', 'bind4', 'bind6', 'connect4', 'connect6', 'sendmsg4', 'sendmsg6'];
const packetHooks = { ingress: ['xdp_ingress', 'tc_ingress'], egress: ['tc_egress'] } as const;

/** What a denial of connect does not reach on cgroup hooks, seen by trying: see bpf/README.md. */
const connectEscapes =
  'judged for TCP and UDP by cgroup hooks; raw, packet, ping and UDP-Lite sockets, source routing and sockets made outside the hardening root pass';

/** XDP and tc meet ESP, and netfilter alone what is in it: seen by trying (test/device/link-kinds.test.ts). */
const ipsecEscapes =
  'packets inside IPsec are not judged: its policies have no xfrm interface (if_id) that a zone could name';

/** The states with `enforced` lowered where a hook is missing. */
export function lowerUncovered(rules: readonly RuleState[], facts: CoverageFacts): readonly RuleState[] {
  const attached = new Set(facts.hooks.map((hook) => hook.split(' ').slice(0, 2).join(' ')));
  const callsLack = callHooks.filter((name) => ![...attached].some((hook) => hook.startsWith(`${name} `)));
  const places = new Map<string, Set<CompiledRule['at']>>();
  for (const { id, at } of facts.compiled) places.set(id, (places.get(id) ?? new Set()).add(at));

  return rules.map((rule) => {
    if (rule.state !== 'enforced') return rule;
    const lacking = [...(places.get(rule.id) ?? [])].flatMap((at) =>
      at === 'call' ? callLack(rule.id) : at === 'operation' ? operationLack() : packetLack(rule.id, at),
    );
    return lacking.length === 0 ? rule : { id: rule.id, state: 'degraded', why: lacking.join(', ') };
  });

  function callLack(id: string): string[] {
    const escapes = facts.documents.some((one) => one.kind === 'HardeningPolicy' && deniesConnect(one, id));
    return [...callsLack.map((name) => `${name} is not attached`), ...(escapes ? [connectEscapes] : [])];
  }

  function operationLack(): string[] {
    return [...attached].some((hook) => hook.startsWith('guard_'))
      ? []
      : ['no hook that knows tasks is attached'];
  }

  function packetLack(id: string, at: 'ingress' | 'egress'): string[] {
    const zones = facts.documents.flatMap((one) =>
      one.kind === 'PacketPolicy' ? zonesOfRule(one, id, at) : [],
    );
    const isCookies = at === 'ingress' && zones.some((zone) => isSynCookies(id, zone));
    return [...(isCookies ? cookiesLack(facts.synCookies) : []), ...zones.flatMap(unreached)];

    function unreached({ name, interfaces, uncovered }: Zone): string[] {
      const there = facts.interfaces.filter((known) => interfaces.some((glob) => matchesGlob(glob, known)));
      const unkept = uncovered === 'drop' ? (facts.uncoveredUnkept ?? '') : '';
      if (there.length === 0)
        return [`no interface of zone ${name} is there`, ...(unkept === '' ? [] : [unkept])];
      const open = there
        .filter((known) => facts.leftOut?.includes(known) !== true)
        .filter((known) => !packetHooks[at].some((hook) => attached.has(`${hook} ${known}`)))
        .map((known) => `${packetHooks[at].join(' or ')} is not attached to ${known}`);
      const escapes = there.some((known) => facts.ipsecApart?.includes(known) === false);
      return [...open, ...(escapes ? [ipsecEscapes] : []), ...(unkept === '' ? [] : [unkept])];
    }
  }
}

/** What is not as the policy has it where the kernel gives no cookie, or not yet. */
function cookiesLack(setting: number | null = 2): string[] {
  if (setting === 2) return [];
  const instead = 'a limit per source holds instead';
  if (setting === null) return [`no SYN cookies in this kernel (CONFIG_SYN_COOKIES): ${instead}`];
  if (setting === 0) return [`no SYN cookies, since net.ipv4.tcp_syncookies is 0: ${instead}`];
  return [
    `net.ipv4.tcp_syncookies is ${setting}: no SYN cookies before a listener's queue is full, until then ${instead}; with 2 they are given from the rate on`,
  ];
}

/** Whether the rule, or the default, is a denial of connect. */
function deniesConnect({ metadata, spec }: HardeningPolicy, id: string): boolean {
  if (id === `${metadata.name}/default-connect`) return spec.default?.connect === 'deny';
  return spec.rules.some(
    (rule) => `${metadata.name}/${rule.id}` === id && rule.connect !== undefined && rule.action === 'deny',
  );
}

const isSynCookies = (id: string, { policy, name }: Zone) => synCookiesId(policy, name) === id;

interface Zone {
  readonly policy: PacketPolicy;
  readonly name: string;
  readonly interfaces: readonly string[];
  readonly uncovered: 'allow' | 'drop';
}

/** The zones in whose list the rule, or whose default it, is. */
function zonesOfRule(policy: PacketPolicy, id: string, at: 'ingress' | 'egress'): Zone[] {
  const { name } = policy.metadata;
  return policy.spec[at]
    .filter(
      (list) =>
        list.rules.some((rule) => `${name}/${rule.id}` === id) ||
        zoneDefaultId(policy, list.zone, at) === id ||
        (at === 'ingress' && synCookiesId(policy, list.zone) === id),
    )
    .map((list) => ({
      policy,
      name: list.zone,
      interfaces: policy.spec.zones[list.zone]?.interfaces ?? [],
      uncovered: policy.spec.zones[list.zone]?.uncovered ?? 'allow',
    }));
}
