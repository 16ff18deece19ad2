// The log: one JSON line per entry on standard output, written before the call returns.
//
// Synchronous and without transports: a worker thread or a buffer would lose the lines that matter most,
// those before a crash, and a bundled executable has no file for a worker to start from.

import pino from 'pino';

export type Log = pino.Logger;
export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];

export function makeLog(level: LogLevel, fd = 1): Log {
  const destination = pino.destination({ fd, sync: true });
  // Whoever reads the log may go away; the agent has better reasons to end.
  destination.on('error', () => {});
  return pino(
    {
      base: null,
      level,
      formatters: { level: (label) => ({ level: label }) },
      timestamp: pino.stdTimeFunctions.isoTime,
      serializers: { error: pino.stdSerializers.err },
    },
    destination,
  );
}

/** For tests that are not about the log. */
export const silentLog: Log = makeLog('silent');
