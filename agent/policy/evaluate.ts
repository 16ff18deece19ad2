// The reference: what a packet or a call comes to by the letter of the documents.
//
// It walks the documents as they were written, one rule after another, and knows nothing of tables,
// masks or tries. Compiler and kernel have to agree with it on every case (test/cases/policy), on
// generated policies and packets, and in every try before a bundle goes live. What a packet policy means
// is in PACKETS.md, what a hardening policy means in HARDENING.md; the evaluator is written from these pages alone.

export { type CallAt, evaluateCall } from './evaluate/calls.ts';
export {
  type AppletPrograms,
  evaluateOperation,
  type ObjectAt,
  type OperationAt,
} from './evaluate/operations.ts';
export { evaluatePacket, PacketEvaluator, type Walked } from './evaluate/packets.ts';
export type { ProgramRun, TaskAt } from './evaluate/subjects.ts';
export type { PacketAt } from './judgement.ts';
