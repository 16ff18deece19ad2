// The program of bare_link.c, compiled for this run.

import { join } from 'node:path';
import { compileC, gccMissing } from './compile-c.ts';

export const bareLinkMissing = gccMissing;

/** Returns its path. */
export const buildBareLink = (): string => compileC(join(import.meta.dirname, 'bare_link.c'));
