// What a measurement comes to: rows, the results of a run, and the run that later ones are compared with.

export interface Row {
  readonly name: string;
  /** null: it could not be measured on this machine, `note` says why. */
  readonly value: number | null;
  readonly unit: string;
  /** Value of the same run that it is to be seen against. */
  readonly against?: { readonly name: string; readonly value: number };
  /** The most that was meant, of the value, or of the ratio to `against`. */
  readonly budget?: { readonly of: 'value' | 'ratio'; readonly most: number };
  readonly note?: string;
}

/** A row with the part of the benchmark that it is of; no two rows of a part have one name. */
export interface PartRow extends Row {
  readonly part: string;
}

export interface Results {
  readonly machine: {
    readonly cpu: string;
    readonly cpus: number;
    readonly kernel: string;
    readonly memoryMib: number;
  };
  readonly at: string;
  readonly rows: readonly PartRow[];
}

/**
 * What is kept of a run: exactly its rows for the parts that ran, what was kept before for other parts that there still
 * are, and nothing else. `parts`: all there are, in the order their rows are to have.
 */
export function keptOf(
  results: Results,
  ran: readonly string[],
  { before, parts }: { readonly before: Results | null; readonly parts: readonly string[] },
): Results {
  const rows = parts.flatMap(
    (part) => (ran.includes(part) ? results : before)?.rows.filter((row) => row.part === part) ?? [],
  );
  return { ...results, rows };
}

/** The row of another run that says the same. */
export function sameRow(results: Results | null, { part, name }: PartRow): PartRow | undefined {
  return results?.rows.find((row) => row.part === part && row.name === name);
}

/** As in `<= 200, missed`; nothing where nothing was meant. */
export function budgetText({ value, against, budget }: Row): string {
  if (budget === undefined) return '';
  const most = `<= ${shown(budget.most)}`;
  if (value === null) return most;
  const compared = budget.of === 'value' ? value : value / (against?.value ?? Number.NaN);
  return `${most}${budget.of === 'ratio' ? ' ×' : ''}, ${compared <= budget.most ? 'kept' : 'missed'}`;
}

/** As in `×14.90 bare drop`. */
export function againstText({ value, against }: Row): string {
  return value === null || against === undefined ? '' : `${ratio(value, against.value)} ${against.name}`;
}

export function ratio(value: number, to: number): string {
  return `×${(value / to).toFixed(2)}`;
}

export function shown(value: number): string {
  return value.toLocaleString('en-US', { maximumFractionDigits: value < 10 ? 2 : value < 100 ? 1 : 0 });
}

export function toJson(results: Results): string {
  const rounded = (_key: string, value: unknown): unknown =>
    typeof value === 'number' ? Number(value.toPrecision(4)) : value;
  return `${JSON.stringify(results, rounded, 2)}\n`;
}
