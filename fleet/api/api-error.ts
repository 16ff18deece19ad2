// What the API answers when it does not do what it was asked: status, code and a sentence.

import { RefusalError } from '../../agent/contract/refusal.ts';

export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly status: number;
  readonly code: string;
  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** Refusals of the flows, faults that the schemas found, and what nobody expected. */
export function describe(error: unknown): {
  readonly status: number;
  readonly code: string;
  readonly message: string;
} {
  if (error instanceof ApiError) return error;
  if (error instanceof RefusalError) {
    const isTheirs = error.code.startsWith('query.');
    return { status: isTheirs ? 422 : 400, code: error.code, message: error.detail };
  }
  const { statusCode, code, message } = error as { statusCode?: number; code?: string; message?: string };
  if (statusCode !== undefined && statusCode < 500) {
    return { status: statusCode, code: code ?? 'bad-request', message: message ?? 'bad request' };
  }
  return { status: 500, code: 'internal', message: message ?? 'internal error' };
}
