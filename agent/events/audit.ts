// An audit event from what the agent says it did: bounded, and text that any JSON parser takes.

import type { AuditEvent } from '../contract/event.ts';
import { payloadBytesMax } from './record.ts';

/** A refusal's whole list of faults belongs in the report, not here. */
const detailsMax = 32;
const nameCharactersMax = 64;
const charactersMax = 1024;
/** What every value is cut to where all together are too long; then they fit whatever is in them. */
const charactersLeast = 64;

export function makeAudit(what: string, detail: AuditEvent['detail']): AuditEvent {
  const whole = cutTo(charactersMax, what, detail);
  // A character may become six bytes of JSON, as a control character does.
  if (Buffer.byteLength(JSON.stringify(whole)) < payloadBytesMax / 2) return whole;
  return cutTo(charactersLeast, what, detail);
}

function cutTo(characters: number, what: string, detail: AuditEvent['detail']): AuditEvent {
  const entries = Object.entries(detail)
    .slice(0, detailsMax)
    .map(([name, value]) => {
      const cut = typeof value === 'string' ? short(value, characters) : value;
      return [short(name, nameCharactersMax), cut] as const;
    });
  return { kind: 'audit', what: short(what, nameCharactersMax), detail: Object.fromEntries(entries) };
}

function short(text: string, characters: number): string {
  const cut = text.length > characters ? `${text.slice(0, characters - 1)}…` : text;
  return cut.toWellFormed();
}
