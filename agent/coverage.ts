// Whether a rule that was proven is also reached: a twin or a canary shows that the tables decide rightly,
// not that a hook is in the way of every packet and call the rule is about.
//
// A rule of a zone needs a hook of its direction on every interface that the zone names and that is there, but for
// those whose packets are judged elsewhere; a rule for calls needs all cgroup hooks. What lacks one is reported as degraded, with what is missing; so is a denial of
// connect, for which cgroup hooks are not the full set, and SYN cookies that the kernel does not give as the policy wants them.

import type { RuleState } from './contract/state.ts';
import { matchesGlob } from './policy/globs.ts';
import { isSynCookiesId } from './policy/ids.ts';
import type { PolicyZone } from './policy/policy-zones.ts';
import type { CompiledRule } from './policy/table-image.ts';

/** Where a rule was compiled to, and what it is about. */
export type CompiledPlace = Pick<CompiledRule, 'id' | 'at' | 'zone' | 'call' | 'verdict' | 'needs'>;

export interface CoverageFacts {
  readonly zones: readonly PolicyZone[];
  readonly compiled: readonly CompiledPlace[];
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
  'packets inside IPsec are not judged where its policies have no xfrm interface (if_id) that a zone could name';

/** The states with `enforced` lowered where a hook is missing. */
export function lowerUncovered(rules: readonly RuleState[], facts: CoverageFacts): readonly RuleState[] {
  const attached = new Set(facts.hooks.map((hook) => hook.split(' ').slice(0, 2).join(' ')));
  const callsLack = callHooks
    .filter((name) => ![...attached].some((hook) => hook.startsWith(`${name} `)))
    .map((name) => `${name} is not attached`);
  const places = Map.groupBy(facts.compiled, ({ id }) => id);
  const zones = new Map(facts.zones.map((zone) => [zone.name, zone]));
  /** Of each zone and direction once: thousands of rules ask. */
  const lacks = new Map<string, readonly string[]>();

  return rules.map((rule) => {
    if (rule.state !== 'enforced') return rule;
    const lacking = new Set((places.get(rule.id) ?? []).flatMap(lackOf));
    return lacking.size === 0 ? rule : { id: rule.id, state: 'degraded', why: [...lacking].join(', ') };
  });

  function lackOf({ id, at, zone, call, verdict, needs }: CompiledPlace): readonly string[] {
    // Calls of tasks that cgroup hooks can't tell are judged where operations are.
    if (at === 'operation' || needs?.least === 'B') return operationLack();
    if (at === 'call')
      return [...callsLack, ...(call === 'connect' && verdict === 'deny' ? [connectEscapes] : [])];
    const key = `${at} ${zone}`;
    const lack = lacks.get(key) ?? zoneLack(zone, at);
    lacks.set(key, lack);
    return isSynCookiesId(id) ? [...cookiesLack(facts.synCookies), ...lack] : lack;
  }

  function operationLack(): readonly string[] {
    return [...attached].some((hook) => hook.startsWith('guard_'))
      ? []
      : ['no hook that knows tasks is attached'];
  }

  function zoneLack(of: string | null, at: 'ingress' | 'egress'): readonly string[] {
    const zone = of === null ? undefined : zones.get(of);
    if (zone === undefined) return [];
    const { name, interfaces, uncovered } = zone;
    const there = facts.interfaces.filter((known) => interfaces.some((glob) => matchesGlob(glob, known)));
    const unkept = uncovered === 'drop' && facts.uncoveredUnkept ? [facts.uncoveredUnkept] : [];
    if (there.length === 0)
      return [`no interface of zone ${name.slice(name.indexOf('/') + 1)} is there`, ...unkept];
    const open = there
      .filter((known) => facts.leftOut?.includes(known) !== true)
      .filter((known) => !packetHooks[at].some((hook) => attached.has(`${hook} ${known}`)))
      .map((known) => `${packetHooks[at].join(' or ')} is not attached to ${known}`);
    const escapes = there.some((known) => facts.ipsecApart?.includes(known) === false);
    return [...open, ...(escapes ? [ipsecEscapes] : []), ...unkept];
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
