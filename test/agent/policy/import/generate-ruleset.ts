// Rulesets of iptables made at random: chains that call one another, RETURN and goto, negations, all that is carried over.

import { randomFrom } from './generate.ts';
import { interfaceOf, sides } from './router.ts';

const ports = [22, 53, 80, 443, 8080];

/** Text of an iptables-restore file of IPv4. */
export function randomIptables(seed: number): string {
  const random = randomFrom(seed);
  const pick = <T>(list: readonly T[]): T => list[random(list.length)] as T;
  const not = () => (random(3) === 0 ? '! ' : '');
  const chains = Array.from({ length: 2 + random(4) }, (_, index) => `chain${index}`);
  const network = () =>
    `10.${1 + random(3)}.${pick(['0.0/16', '0.0/24', '0.0/17', '0.1/32', '0.200/32', '7.0/24'])}`;
  const port = () => pick([`${pick(ports)}`, `${pick(ports)}:8080`, ':443', '1024:']);
  const list = () => [...new Set([pick(ports), pick(ports), pick(ports)])].join(',');
  const flags = () =>
    pick(['SYN SYN', 'SYN,ACK SYN', 'FIN,SYN,RST,ACK SYN', 'ALL NONE', 'FIN,URG,PSH FIN', 'SYN,RST SYN,RST']);

  const conditions = (hook: string): string => {
    const parts: string[] = [];
    if (hook !== 'OUTPUT' && random(4) === 0)
      parts.push(`${not()}-i ${pick([...sides.map(interfaceOf), 'imp-+'])}`);
    if (hook !== 'INPUT' && random(4) === 0) parts.push(`${not()}-o ${interfaceOf(pick(sides))}`);
    if (random(3) === 0) parts.push(`${not()}-s ${network()}`);
    if (random(5) === 0) parts.push(`${not()}-d ${network()}`);
    switch (random(10)) {
      case 0:
      case 1:
        parts.push(`-p tcp -m tcp ${not()}--dport ${port()}`);
        break;
      case 2:
        parts.push(`-p udp -m udp ${not()}--sport ${port()} ${not()}--dport ${port()}`);
        break;
      case 3:
        parts.push(
          `-p ${pick(['tcp', 'udp'])} -m multiport ${not()}${pick(['--ports', '--dports', '--sports'])} ${list()}`,
        );
        break;
      case 4:
        parts.push(`-p tcp -m tcp ${not()}--tcp-flags ${flags()}`);
        break;
      case 5:
        parts.push(`-p icmp -m icmp ${not()}--icmp-type ${pick(['8', '3', '3/1', 'any'].slice(0, 3))}`);
        break;
      case 6:
        parts.push(`${not()}-p ${pick(['tcp', 'udp', 'icmp', 'gre'])}`);
        break;
      case 7:
        parts.push(`-m length ${not()}--length ${pick(['0:100', '100:500', '400:65535'])}`);
        break;
    }
    if (random(6) === 0) parts.push(`-m dscp ${not()}--dscp ${pick(['0x00', '0x2e', '0x0a'])}`);
    return parts.join(' ');
  };
  const verdict = (from: number, isUser: boolean): string => {
    const below = chains.slice(from);
    const choice = random(10);
    if (choice < 3 && below.length > 0) return `${pick(['-j', '-j', '-g'])} ${pick(below)}`;
    if (choice < 5 && isUser) return '-j RETURN';
    return `-j ${pick(['ACCEPT', 'ACCEPT', 'DROP', 'REJECT', 'LOG'])}`;
  };
  const lines: string[] = [];
  // What a user chain can ask for depends on who calls it; interfaces of both ways only stand in hooks.
  for (const hook of ['INPUT', 'FORWARD', 'OUTPUT']) {
    for (let count = 3 + random(4); count > 0; count--)
      lines.push(`-A ${hook} ${conditions(hook)} ${verdict(0, false)}`);
  }
  for (const [index, chain] of chains.entries()) {
    for (let count = 2 + random(4); count > 0; count--)
      lines.push(`-A ${chain} ${conditions('-').replace(/(! )?-[io] \S+/g, '')} ${verdict(index + 1, true)}`);
  }
  const policies = ['INPUT', 'FORWARD', 'OUTPUT'].map((hook) => `:${hook} ${pick(['ACCEPT', 'DROP'])} [0:0]`);
  return ['*filter', ...policies, ...chains.map((chain) => `:${chain} - [0:0]`), ...lines, 'COMMIT', ''].join(
    '\n',
  );
}
