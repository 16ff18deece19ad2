// What was set up, to be taken down in the opposite order, once, however the run ends.
//
// Every step is tried even if one before it failed; what failed is said at the end. A signal takes
// everything down and then ends the process with the code a shell expects (128 + signal).

import { constants } from 'node:os';
import { messageOf } from '../../agent/contract/thrown.ts';

type Step = { readonly what: string; readonly undo: () => void | Promise<void> };

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

export class Undo {
  #steps: Step[] = [];
  #closing: Promise<void> | null = null;
  readonly #onSignal = (signal: NodeJS.Signals): void => {
    void this.close()
      .catch((error: unknown) => console.error(String(error)))
      .finally(() => process.exit(128 + (constants.signals[signal] ?? 0)));
  };

  constructor() {
    for (const signal of signals) process.on(signal, this.#onSignal);
  }

  get closing(): boolean {
    return this.#closing !== null;
  }

  /** Call right after the thing was done, before anything can await. */
  add(what: string, undo: Step['undo']): void {
    this.#steps.push({ what, undo });
  }

  close(): Promise<void> {
    this.#closing ??= this.#run();
    return this.#closing;
  }

  async #run(): Promise<void> {
    const failed: string[] = [];
    // A step may find things its own setup added late: look again until nothing is left.
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      try {
        await step.undo();
      } catch (error) {
        failed.push(`${step.what}: ${messageOf(error)}`);
      }
    }
    for (const signal of signals) process.off(signal, this.#onSignal);
    if (failed.length > 0) throw new Error(`could not take down: ${failed.join('; ')}`);
  }
}
