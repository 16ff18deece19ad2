// A network namespace of a lab: running things in it, and reading what arrived.

import { type RunOptions, run } from './system.ts';

export class Namespace {
  readonly name: string;
  /** For nsenter and setns. */
  readonly path: string;

  constructor(name: string, path: string) {
    this.name = name;
    this.path = path;
  }

  /** Runs a program to its end and returns what it wrote; throws with its complaint if it failed. */
  run(program: string, args: readonly string[], options: RunOptions = {}): string {
    return run('nsenter', [`--net=${this.path}`, '--', program, ...args], options);
  }

  /** Sets a sysctl of this namespace. */
  set(name: string, value: string): void {
    this.run('/bin/sh', ['-c', 'echo "$2" >"/proc/sys/$1"', 'sh', name, value]);
  }

  macOf(interfaceName: string): Uint8Array {
    const [link] = JSON.parse(this.run('ip', ['-j', 'link', 'show', 'dev', interfaceName]));
    return Buffer.from(String(link.address).replaceAll(':', ''), 'hex');
  }

  indexOf(interfaceName: string): number {
    const [link] = JSON.parse(this.run('ip', ['-j', 'link', 'show', 'dev', interfaceName]));
    return Number(link.ifindex);
  }

  /** Packets and bytes that an interface received, as in /proc/net/dev. */
  received(interfaceName: string): { readonly packets: number; readonly bytes: number } {
    const line = this.run('cat', ['/proc/net/dev'])
      .split('\n')
      .map((text) => text.trim().split(/[:\s]+/))
      .find(([name]) => name === interfaceName);
    if (line === undefined) throw new Error(`no interface ${interfaceName} in ${this.name}`);
    return { bytes: Number(line[1]), packets: Number(line[2]) };
  }

  /** Packets that came past every hook before the IP layer, both families. */
  ipReceived(): number {
    return this.#ip('InReceives', 'Ip6InReceives');
  }

  /** Packets that were sent on towards somebody else, both families. Nothing of the namespace's own is in it. */
  ipForwarded(): number {
    return this.#ip('ForwDatagrams', 'Ip6OutForwDatagrams');
  }

  /** Counters of /proc/net/snmp (a row of names, a row of values) and /proc/net/snmp6 (a name a line). */
  #ip(name: string, name6: string): number {
    const rows = this.run('cat', ['/proc/net/snmp']).split('\n');
    const [names = '', values = ''] = rows.filter((row) => row.startsWith('Ip: '));
    const four = values.split(' ')[names.split(' ').indexOf(name)];
    const six = new RegExp(`^${name6}\\s+(\\d+)`, 'm').exec(this.run('cat', ['/proc/net/snmp6']))?.[1];
    if (four === undefined || six === undefined) throw new Error(`the kernel does not count ${name}`);
    return Number(four) + Number(six);
  }
}
