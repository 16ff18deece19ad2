// The command line's way to `husk serve`: HTTP over the socket in the data folder.

import { request } from 'node:http';
import { Failure } from './io.ts';

/** An answer of ours is never as long; whoever listens there may be somebody else. */
const answerBytesMax = 256 * 1024 * 1024;

export class ApiClient {
  readonly #socket: string;

  constructor(socket: string) {
    this.#socket = socket;
  }

  get<T>(path: string, query: Readonly<Record<string, string | number | undefined>> = {}): Promise<T> {
    const search = new URLSearchParams();
    for (const [key, value] of Object.entries(query)) if (value !== undefined) search.set(key, String(value));
    const text = search.toString();
    return this.#ask('GET', text === '' ? path : `${path}?${text}`);
  }

  post<T>(path: string, body: unknown): Promise<T> {
    return this.#ask('POST', path, body);
  }

  delete<T>(path: string): Promise<T> {
    return this.#ask('DELETE', path);
  }

  #ask<T>(method: string, path: string, body?: unknown): Promise<T> {
    const payload = body === undefined ? null : Buffer.from(JSON.stringify(body));
    return new Promise((resolve, reject) => {
      const headers =
        payload === null ? {} : { 'content-type': 'application/json', 'content-length': payload.length };
      const asking = request({ socketPath: this.#socket, method, path, headers }, (response) => {
        const chunks: Buffer[] = [];
        let bytes = 0;
        response.on('data', (chunk: Buffer) => {
          chunks.push(chunk);
          bytes += chunk.length;
          if (bytes > answerBytesMax)
            asking.destroy(new Error(`an answer of more than ${answerBytesMax} bytes`));
        });
        response.on('error', (error) => reject(new Failure(`${method} ${path}: ${error.message}`)));
        response.on('end', () => {
          try {
            resolve(this.#read(response.statusCode ?? 0, Buffer.concat(chunks).toString()) as T);
          } catch (error) {
            reject(error);
          }
        });
      });
      asking.on('error', (error: NodeJS.ErrnoException) => reject(new Failure(this.#reason(error))));
      asking.end(payload ?? undefined);
    });
  }

  #read(status: number, text: string): unknown {
    const value = JSON.parse(text) as {
      readonly error?: { readonly code: string; readonly message: string };
    };
    if (status < 400) return value;
    const { code = 'failed', message = `status ${status}` } = value.error ?? {};
    throw new Failure(`${code}: ${message}`);
  }

  #reason(error: NodeJS.ErrnoException): string {
    switch (error.code) {
      case 'ENOENT':
      case 'ECONNREFUSED':
        return `no controller answers at ${this.#socket}: start it with \`husk serve\`, or say which one with --data`;
      case 'EACCES':
        return `${this.#socket}: permission denied; the data folder belongs to whoever runs \`husk serve\``;
      default:
        return `${this.#socket}: ${error.message}`;
    }
  }
}
