// husk status: how the controller is.

import { type CommandFile, type CommonOptions, client, command, show } from './common.ts';

interface Status {
  readonly tenant: string;
  readonly listening: { readonly devices: string; readonly enrollment: string; readonly api: string };
  readonly session: {
    readonly url: string;
    readonly isUp: boolean;
    readonly protocolVersion: number | null;
    readonly trouble: string | null;
  };
  readonly broker: { readonly connections: number; readonly counts: Readonly<Record<string, number>> } | null;
  readonly inbox: Readonly<Record<string, number>>;
  readonly parts: Readonly<Record<string, number>>;
  readonly changesFailed: number;
  readonly devices: Readonly<Record<string, number>>;
  readonly events: number;
  readonly gaps: readonly { readonly lost: number }[];
  readonly newestSerial: number;
}

export const status: CommandFile = (parent, io) => {
  command(parent, io, 'status', 'How the controller is: broker, devices, what was refused and lost').action(
    async (options: CommonOptions) => {
      const value = await client(options).get<Status>('/v1/status');
      show(io, options, value, () => {
        const { session, broker } = value;
        const link = session.isUp
          ? io.paint('green', `connected, MQTT ${session.protocolVersion === 5 ? '5' : '3.1.1'}`)
          : io.paint('red', `not connected: ${session.trouble}`);
        io.out(`tenant      ${value.tenant}`);
        io.out(`devices     ${counts(value.devices)}; listening on ${value.listening.devices}`);
        io.out(`enrollment  listening on ${value.listening.enrollment}`);
        io.out(
          `broker      ${broker === null ? session.url : `embedded, ${broker.connections} connections`}; ${link}`,
        );
        if (broker !== null) io.out(`            ${counts(broker.counts)}`);
        io.out(`serial      ${value.newestSerial}`);
        io.out(
          `events      ${value.events} stored, ${value.gaps.reduce((sum, gap) => sum + gap.lost, 0)} lost on the way`,
        );
        io.out(`messages    ${counts(value.inbox)}`);
        io.out(`parts       ${counts(value.parts)}`);
        if (value.changesFailed > 0)
          io.out(io.paint('red', `${value.changesFailed} changes could not be stored`));
      });
    },
  );
};

function counts(values: Readonly<Record<string, number>>): string {
  const entries = Object.entries(values);
  return entries.length === 0 ? 'none' : entries.map(([what, number]) => `${number} ${what}`).join(', ');
}
