// What the documents of a bundle mean together: every fault at once.
//
// Shape was judged before (parse.ts). Here values are read (addresses, ports), names are resolved, and
// rules are compared with those before them. This file holds what goes across documents; the two kinds
// of policy have a file each. The order of work is: each document for itself, then all of them together.

import { HUSK_RULE_ID_BYTES } from '../../bpf/abi/layout.gen.ts';
import type { Addition, AddressSet, HardeningPolicy, PolicyDocument, Shield } from '../contract/policy.ts';
import { checkException } from './check-exception.ts';
import { checkHardeningPolicy } from './check-hardening.ts';
import { checkConnectionSettings, checkPacketPolicy } from './check-packet.ts';
import { checkShield } from './check-shield.ts';
import { type Checking, checkEntries, checkEntry } from './checking.ts';
import { type Fault, FaultList, type Path } from './faults.ts';
import { globsOverlap } from './globs.ts';
import { defaultId, defaultNames, directions, ruleId, synCookiesId, zoneDefaultId } from './ids.ts';
import { resolverOf } from './sets.ts';
import { hardeningOf, shieldsAsPolicies, unplacedRules } from './shields-as-policies.ts';
import { activeHardening } from './subjects.ts';

/** Entries of one set that are counted one by one; each takes a counter for each CPU. */
const countedEntriesMax = 65_536;

/** `isWhole: false`: some documents of the bundle could not be read, and names that do not resolve may be theirs. */
export function checkDocuments(
  documents: readonly PolicyDocument[],
  { isWhole = true } = {},
): readonly Fault[] {
  const faults = new FaultList();
  const sets = resolverOf(documents);
  const names = documents.flatMap((one) => (one.kind === 'AddressSet' ? [one.metadata.name] : []));
  const addressSets = isWhole ? new Set(names) : null;
  const deniedByDefault = new Set(
    activeHardening(shieldsAsPolicies(documents)).flatMap(({ spec }) =>
      defaultNames.filter((name) => spec.default?.[name] === 'deny'),
    ),
  );
  const checkings = documents.map((document, index): Checking => {
    const fault: Checking['fault'] = (path, message, { severity = 'error', what = 'value' } = {}) =>
      faults.addAt({ document, index, path, what }, message, severity);
    return { sets, addressSets, deniedByDefault, fault };
  });
  const each = (visit: (document: PolicyDocument, checking: Checking) => void) =>
    documents.forEach((document, index) => {
      const checking = checkings[index];
      if (checking !== undefined) visit(document, checking);
    });
  each(checkOne);
  checkNames(each);
  checkRuleIds(each);
  checkInterfaces(each);
  checkUnparseable(each);
  checkConnectionSettings(each);
  checkExceptions(each, isWhole);
  checkPlaces(each, new Set(unplacedRules(documents)));
  return faults.all();
}

type Each = (visit: (document: PolicyDocument, checking: Checking) => void) => void;

function checkOne(document: PolicyDocument, checking: Checking): void {
  switch (document.kind) {
    case 'PacketPolicy':
      checkPacketPolicy(document, checking);
      break;
    case 'HardeningPolicy':
      checkHardeningPolicy(document, checking);
      break;
    case 'Shield':
      checkShield(document, checking);
      break;
    case 'Exception':
      // What it is of is another document.
      break;
    case 'AddressSet':
      checkAddressSet(document, checking);
  }
}

function checkAddressSet({ spec }: AddressSet, { fault }: Checking): void {
  if (spec.file !== undefined && spec.addresses !== undefined) {
    fault(['spec', 'file'], 'stands beside addresses; one of the two has to go', { what: 'key' });
  } else if (spec.file !== undefined) {
    const message = 'was not read in; a device takes only addresses that are written out';
    fault(['spec', 'file'], message, { what: 'key' });
  } else if (spec.addresses === undefined) {
    fault(['spec'], 'has neither addresses nor file');
  }
  checkEntries(spec.addresses ?? [], ['spec', 'addresses'], fault);
  if (spec.countEntries === true && (spec.addresses?.length ?? 0) > countedEntriesMax) {
    const message = `counts ${spec.addresses?.length} entries, at most ${countedEntriesMax}`;
    fault(['spec', 'countEntries'], message);
  }
  checkAdditions(spec.additions ?? [], fault);
}

/** One address has one end: where it stands twice, nobody could say which holds. */
function checkAdditions(additions: readonly Addition[], fault: Checking['fault']): void {
  const seen = new Map<string, number>();
  additions.forEach(({ address, until }, index) => {
    const path = ['spec', 'additions', index];
    checkEntry(address, [...path, 'address'], fault);
    const before = seen.get(address);
    if (before !== undefined) fault([...path, 'address'], `"${address}" is added before, at ${before}`);
    else seen.set(address, index);
    if (until !== undefined && Number.isNaN(Date.parse(until))) {
      fault([...path, 'until'], `"${until}" is not a time such as 2026-12-01T12:00:00Z`);
    }
  });
}

function checkNames(each: Each): void {
  const seen = new Set<string>();
  each(({ kind, metadata }, { fault }) => {
    const key = `${kind} ${metadata.name}`;
    if (seen.has(key)) fault(['metadata', 'name'], `there is another ${kind} "${metadata.name}"`);
    seen.add(key);
  });
}

/** Counters and reports go by these ids, so that they have to be unique over the bundle and fit their place. */
function checkRuleIds(each: Each): void {
  const seen = new Set<string>();
  const text = new TextEncoder();
  each((document, { fault }) => {
    for (const { id, path, local } of idsOf(document)) {
      const bytes = text.encode(id).length;
      if (bytes >= HUSK_RULE_ID_BYTES) {
        fault(
          path,
          `"${id}" is ${bytes} bytes long, and a rule's full name may have ${HUSK_RULE_ID_BYTES - 1}`,
        );
      }
      if (seen.has(id)) fault(path, `there is another rule "${local}" that is counted as "${id}"`);
      seen.add(id);
    }
  });
}

export interface IdAt {
  readonly id: string;
  readonly local: string;
  readonly path: Path;
}

/** Every rule and default of a document, with its full name and its place. */
export function idsOf(document: PolicyDocument): readonly IdAt[] {
  if (document.kind === 'AddressSet' || document.kind === 'Exception') return [];
  if (document.kind === 'HardeningPolicy' || document.kind === 'Shield') {
    const { rules = [], default: defaults } = document.spec;
    const ofPackets = document.kind === 'Shield' ? packetIds(document) : [];
    const ofRules = rules.map((rule, index) => ({
      id: ruleId(document, rule),
      local: rule.id,
      path: ['spec', 'rules', index, 'id'],
    }));
    const ofDefaults = defaultNames.flatMap((name) =>
      defaults?.[name] === undefined
        ? []
        : [{ id: defaultId(document, name), local: `default-${name}`, path: ['spec', 'default', name] }],
    );
    return [...ofDefaults, ...ofRules, ...ofPackets];
  }
  const zonesSeen = new Set<string>();
  return directions.flatMap((direction) =>
    document.spec[direction].flatMap((zone, index) => {
      const path = ['spec', direction, index];
      const rules = zone.rules.map((rule, at) => ({
        id: ruleId(document, rule),
        local: rule.id,
        path: [...path, 'rules', at, 'id'],
      }));
      // A zone that is listed twice is a fault of its own.
      const id = zoneDefaultId(document, zone.zone, direction);
      if (zonesSeen.has(id)) return rules;
      zonesSeen.add(id);
      const cookies = synCookiesId(document, zone.zone);
      return [
        ...rules,
        { id, local: `default of ${zone.zone}`, path: [...path, 'zone'] },
        ...(zone.synCookies === undefined || direction === 'egress'
          ? []
          : [{ id: cookies, local: `SYN cookies of ${zone.zone}`, path: [...path, 'synCookies'] }]),
      ];
    }),
  );
}

const packetIds = (shield: Shield): readonly IdAt[] =>
  directions.flatMap((direction) =>
    (shield.spec.packets?.[direction] ?? []).map((rule, index) => ({
      id: ruleId(shield, rule),
      local: rule.id,
      path: ['spec', 'packets', direction, index, 'id'],
    })),
  );

/** An interface is in one zone at the most, over all policies that are not off. */
function checkInterfaces(each: Each): void {
  const seen: { readonly glob: string; readonly zone: string }[] = [];
  each((document, { fault }) => {
    if (document.kind !== 'PacketPolicy' || document.spec.mode === 'off') return;
    for (const [name, { interfaces }] of Object.entries(document.spec.zones)) {
      const zone = `${document.metadata.name}/${name}`;
      interfaces.forEach((glob, index) => {
        const other = seen.find((one) => one.zone !== zone && globsOverlap(one.glob, glob));
        if (other !== undefined) {
          const both =
            other.glob === glob ? `"${glob}"` : `an interface can be both "${glob}" and "${other.glob}" and`;
          fault(['spec', 'zones', name, 'interfaces', index], `${both} would also be in zone ${other.zone}`);
        }
        seen.push({ glob, zone });
      });
    }
  });
}

function checkExceptions(each: Each, isWhole: boolean): void {
  const policies = new Map<string, HardeningPolicy>();
  each((document) => {
    const policy = document.kind === 'Shield' ? hardeningOf(document) : document;
    if (policy?.kind === 'HardeningPolicy')
      policies.set(`${document.kind} ${document.metadata.name}`, policy);
  });
  each((document, checking) => {
    if (document.kind === 'Exception') checkException(document, isWhole ? policies : null, checking);
  });
}

/** A shield may be kept beside policies that have no zone for it, and is said to do nothing there. */
function checkPlaces(each: Each, unplaced: ReadonlySet<string>): void {
  each((document, { fault }) => {
    if (document.kind !== 'Shield' || !packetIds(document).some(({ id }) => unplaced.has(id))) return;
    fault(['spec', 'packets'], 'holds rules that no zone of the policies here has: they decide nothing', {
      severity: 'warning',
    });
  });
}

/** There is one verdict a device for packets that cannot be read: policies must not contradict each other. */
function checkUnparseable(each: Each): void {
  let first: { readonly verdict: string; readonly name: string } | null = null;
  each((document, { fault }) => {
    if (document.kind !== 'PacketPolicy' || document.spec.mode === 'off') return;
    const { mode, unparseable = 'drop' } = document.spec;
    const verdict = mode === 'enforce' ? unparseable : 'allow';
    first ??= { verdict, name: document.metadata.name };
    if (first.verdict === verdict) return;
    const why = mode === 'enforce' ? '' : ', since its mode is monitor';
    const path = document.spec.unparseable === undefined ? ['spec', 'mode'] : ['spec', 'unparseable'];
    fault(
      path,
      `comes to ${verdict}${why}, but ${first.name} says ${first.verdict}; a device has one verdict for packets that cannot be read`,
    );
  });
}
