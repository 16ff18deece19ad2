// The account that a demo gives while it runs: scenes, what was seen in them, and whether each claim held.
//
//   1 Real packets from captures
//     ✓ 464 of 464 packets of DnsPackets.pcap arrived before there was a policy
//
// A claim that does not hold is written down and the demo goes on, so that one look shows all of them; the
// exit code says it in the end. On a terminal the marks have colour, elsewhere they are plain.

export interface Claim {
  readonly scene: string;
  readonly claim: string;
  readonly holds: boolean;
}

const green = '\u001b[32m';
const red = '\u001b[31m';
const bold = '\u001b[1m';
const plain = '\u001b[0m';

export class Account {
  readonly #write: (text: string) => void;
  readonly #colour: boolean;
  readonly #claims: Claim[] = [];
  readonly #numbers: Record<string, number> = {};
  #scene = '';
  #scenes = 0;

  constructor(write: (text: string) => void, colour: boolean) {
    this.#write = write;
    this.#colour = colour;
  }

  scene(title: string): void {
    this.#scene = title;
    this.#write(`\n${this.#paint(bold, `${++this.#scenes}  ${title}`)}\n`);
  }

  /** Something worth knowing that claims nothing. */
  say(text: string): void {
    this.#write(`     ${text}\n`);
  }

  claim(holds: boolean, claim: string): void {
    this.#claims.push({ scene: this.#scene, claim, holds });
    this.#write(`   ${holds ? this.#paint(green, '✓') : this.#paint(red, '✗ NOT SO:')} ${claim}\n`);
  }

  /** A claim about a number, which is kept for `--json` as well. */
  count(name: string, { is, wanted }: { is: number; wanted: number }, claim: string): void {
    this.#numbers[name] = is;
    this.claim(is === wanted, is === wanted ? claim : `${claim} (it was ${is}, wanted ${wanted})`);
  }

  note(name: string, value: number): void {
    this.#numbers[name] = value;
  }

  get holds(): boolean {
    return this.#claims.length > 0 && this.#claims.every((claim) => claim.holds);
  }

  end(seconds: number): void {
    const failed = this.#claims.filter((claim) => !claim.holds);
    const held = `${this.#claims.length - failed.length} of ${this.#claims.length} claims held`;
    this.#write(`\n${this.#paint(bold, `${held}, in ${Math.round(seconds)} s.`)}\n`);
    for (const { scene, claim } of failed) this.#write(`   ✗ ${scene}: ${claim}\n`);
  }

  json(): {
    readonly holds: boolean;
    readonly claims: readonly Claim[];
    readonly numbers: Record<string, number>;
  } {
    return { holds: this.holds, claims: this.#claims, numbers: this.#numbers };
  }

  #paint(colour: string, text: string): string {
    return this.#colour ? `${colour}${text}${plain}` : text;
  }
}
