// Waiting for something to change: who asks with patience is woken when there is news, or after a while.

export class News {
  #waiting = new Set<() => void>();
  #isClosed = false;

  /** Nothing will come any more: `next` resolves at once. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  tell(): void {
    const waiting = this.#waiting;
    this.#waiting = new Set();
    for (const wake of waiting) wake();
  }

  /** Resolves with the next news, after `ms`, or when nobody listens any more. */
  next(ms: number, signal?: AbortSignal): Promise<void> {
    if (this.#isClosed || signal?.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        this.#waiting.delete(wake);
        signal?.removeEventListener('abort', wake);
        resolve();
      };
      const timer = setTimeout(wake, ms);
      signal?.addEventListener('abort', wake, { once: true });
      this.#waiting.add(wake);
    });
  }

  close(): void {
    this.#isClosed = true;
    this.tell();
  }
}
