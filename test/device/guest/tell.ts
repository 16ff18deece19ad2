// How a program inside a guest says something to the host: a line of JSON with a mark.

export function tell(value: unknown): void {
  process.stdout.write(`husk-json ${JSON.stringify(value)}\n`);
}
