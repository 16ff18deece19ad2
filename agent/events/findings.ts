// What all events of tasks say of the verdict: rule, document, shield, and OCSF's numbers for it.

import { HUSK_RULE_NONE, type HuskEvent, HuskMode, HuskVerdict } from '../../bpf/abi/layout.gen.ts';
import type { EventShield, TaskFinding } from '../contract/event.ts';
import { ocsfGravity, ocsfKindOf } from '../contract/ocsf.ts';
import type { DocumentState } from '../contract/state.ts';

/** What only the kernel side and the policy in force can name. */
export interface FindingNames {
  /** `document/rule` of a dense counter index. */
  ruleName(index: number): string | null;
  /** The shield that a document of that name is; null: it is none. */
  shieldOf?(document: string): EventShield | null;
}

export function describeFinding(
  head: Pick<HuskEvent, 'rule' | 'verdict' | 'mode' | 'serial'>,
  about: { readonly word: string; readonly killed: boolean; readonly tier: string | null },
  names: FindingNames,
): Omit<TaskFinding, 'process' | 'count'> {
  const rule = ruleOf(head, names);
  const document = rule === null ? null : (rule.split('/')[0] ?? null);
  const shield = document === null ? null : (names.shieldOf?.(document) ?? null);
  const verdict = head.verdict === HuskVerdict.DENY ? 'deny' : 'allow';
  const mode = modeOf(head);
  const { word, killed, tier } = about;
  return {
    ...ocsfKindOf(word),
    ...ocsfGravity({ verdict, mode, killed, severity: shield?.severity ?? null }),
    rule,
    ...(document === null ? {} : { policy: { name: document } }),
    ...(shield === null ? {} : { shield }),
    verdict,
    mode,
    serial: Number(head.serial),
    ...(tier === null ? {} : { tier }),
    ...(killed ? { killed: true as const } : {}),
  };
}

/** The shield of that name among the documents in force; null: it is none. */
export function shieldNamed(documents: readonly DocumentState[], name: string): EventShield | null {
  const state = documents.find((one) => one.kind === 'Shield' && one.name === name);
  if (state?.cve === undefined || state.severity === undefined) return null;
  return { name, cve: state.cve, severity: state.severity };
}

export function ruleOf(head: Pick<HuskEvent, 'rule'>, names: FindingNames): string | null {
  if (head.rule === HUSK_RULE_NONE) return null;
  return names.ruleName(head.rule) ?? `rule ${head.rule}`;
}

export function modeOf(head: Pick<HuskEvent, 'mode'>): 'monitor' | 'enforce' {
  return head.mode === HuskMode.ENFORCE ? 'enforce' : 'monitor';
}
