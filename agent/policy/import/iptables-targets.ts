// What a rule of iptables does.

import type { RejectWith } from '../../contract/policy.ts';
import type { RuleContext } from './iptables-rule.ts';
import type { Origin } from './report.ts';
import type { Does } from './ruleset.ts';

interface Target {
  readonly name: string;
  readonly options: readonly string[];
  readonly isGoto: boolean;
}

interface Around {
  readonly origin: Origin;
  readonly keyOf: (chain: string) => string;
  readonly context: RuleContext;
}

/** Targets that change or mark a packet and let it go on. */
const goingOn = new Set(
  'MARK CONNMARK TCPMSS CLASSIFY DSCP TOS TTL HL SET CT NOTRACK TRACE RATEEST IDLETIMER LED ACCOUNT AUDIT CHECKSUM SECMARK CONNSECMARK TCPOPTSTRIP ECN TEE SYSRQ'.split(
    ' ',
  ),
);

const answers: Readonly<Record<string, RejectWith>> = {
  'icmp-net-unreachable': 'net-unreachable',
  'icmp-host-unreachable': 'host-unreachable',
  'icmp-port-unreachable': 'port-unreachable',
  'icmp-admin-prohibited': 'admin-prohibited',
  'icmp6-no-route': 'net-unreachable',
  'icmp6-addr-unreachable': 'host-unreachable',
  'icmp6-port-unreachable': 'port-unreachable',
  'icmp6-adm-prohibited': 'admin-prohibited',
  'tcp-reset': 'tcp-reset',
};

export function readTarget({ name, options, isGoto }: Target, { origin, keyOf, context }: Around): Does {
  if (isGoto)
    return context.chains.has(name)
      ? { kind: 'goto', chain: keyOf(name) }
      : undecided(`chain "${name}" is not there`);
  switch (name) {
    case 'ACCEPT':
      return { kind: 'accept' };
    case 'DROP':
      return { kind: 'drop' };
    case 'RETURN':
      return { kind: 'return' };
    case 'LOG':
    case 'NFLOG':
    case 'ULOG':
      return { kind: 'log' };
    case 'REJECT':
      return reject(options, origin, context);
    case 'QUEUE':
    case 'NFQUEUE':
      return undecided(`target ${name}: a program decides`);
  }
  if (context.chains.has(name)) return { kind: 'jump', chain: keyOf(name) };
  if (!goingOn.has(name)) return undecided(`target ${name} is not known here`);
  context.report.add(origin, `target ${name} changes packets or marks them, which a policy does not`, 'none');
  return { kind: 'none' };
}

/** Targets that decide. */
const deciding = new Set(['ACCEPT', 'DROP', 'RETURN', 'REJECT']);

/**
 * How many of the words behind a target are its own; conditions may follow. Those of targets that do not
 * decide are not known one by one, so all are: what comes of it is a log of too much, at the most.
 */
export function ownOptions({ name, options, isGoto }: Target, chains: ReadonlySet<string>): number {
  if (!isGoto && !deciding.has(name) && !chains.has(name)) return options.length;
  return name === 'REJECT' && options[0] === '--reject-with' ? 2 : 0;
}

function reject(options: readonly string[], origin: Origin, { report }: RuleContext): Does {
  const at = options.indexOf('--reject-with');
  // iptables answers a port unreachable where nothing is said, to TCP too.
  const said = at < 0 ? 'icmp-port-unreachable' : (options[at + 1] ?? '');
  const answer = Object.hasOwn(answers, said) ? (answers[said] ?? null) : null;
  if (answer === null) report.add(origin, `the answer ${said} becomes admin-prohibited`, 'none');
  return { kind: 'reject', with: answer ?? 'admin-prohibited' };
}

const undecided = (reason: string): Does => ({ kind: 'undecided', reason });
