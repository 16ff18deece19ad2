// husk device show: everything that is known of one device.

import type { Reported } from '../../agent/contract/state.ts';
import type { AssignmentView, DeviceView } from '../api/views.ts';
import { type CommandFile, type CommonOptions, client, command, show } from './common.ts';
import { shown, table, time } from './io.ts';

type Shown = DeviceView & {
  readonly assignments: readonly AssignmentView[];
  readonly gaps: readonly { readonly stream: string; readonly place: string; readonly lost: number }[];
};

/** As in `tp-link archer-ax21v3 1.1.3`, and why it proves nothing where it does not. */
function firmwareText({ vendor, model, version, untrusted }: NonNullable<Reported['firmware']>): string {
  const known = [vendor, model, version].map((one) => one ?? '?').join(' ');
  return untrusted === null ? known : `${known}, not trusted: ${untrusted}`;
}

export const deviceShow: CommandFile = (parent, io) => {
  command(
    parent,
    io,
    'show <device>',
    'Show one device: by id, the beginning of it, or a unique host name',
  ).action(async (name: string, options: CommonOptions) => {
    const device = await client(options).get<Shown>(`/v1/devices/${encodeURIComponent(name)}`);
    show(io, options, device, () => {
      const line = (label: string, text: string) => io.out(`${label.padEnd(13)}${shown(text)}`);
      const { reported, inForce } = device;
      line('device', device.device);
      line('hostname', device.hostname);
      line('hardware id', device.hardwareId);
      line('state', `${device.state} since ${time(device.stateAt)}`);
      line('agent', `${device.agent ?? '-'} on ${device.kernel ?? '-'} ${device.architecture ?? ''}`);
      line('enrolled', time(device.enrolledAt));
      line('certificate', `until ${time(device.certificateExpires)}`);
      const isHeard = reported !== null || device.agent !== null;
      const baseline = isHeard ? 'the baseline' : 'not heard yet';
      line('in force', inForce === null ? baseline : `serial ${inForce.serial}, ${inForce.digest}`);
      if (reported !== null) {
        line('reported', time(device.reportedAt));
        line('tier', reported.tier);
        line('proven', reported.proven);
        if (reported.firmware !== undefined) line('firmware', firmwareText(reported.firmware));
        for (const { kind, name, state, why } of reported.documents ?? [])
          line(kind.toLowerCase(), `${name}: ${state}${why === undefined ? '' : ` (${why})`}`);
        line('kernel', `${reported.kernelBytes} bytes of tables`);
        for (const hook of reported.hooks) line('hook', hook);
        const states = Map.groupBy(reported.rules, (rule) => rule.state);
        for (const [state, rules] of states) line('rules', `${rules.length} ${state}`);
        for (const rule of reported.rules) {
          if (rule.why !== undefined) line('', `${rule.id}: ${rule.state}, ${rule.why}`);
        }
      }
      for (const gap of device.gaps) {
        if (gap.lost > 0) line('lost', `${gap.lost} events of ${gap.stream} (${gap.place})`);
      }
      if (device.assignments.length === 0) return;
      io.out('');
      const rows = device.assignments.map((one) => [
        String(one.serial),
        time(one.issuedAt),
        one.result,
        one.reason ?? (one.refusal === null ? '' : `${one.refusal.code}: ${one.refusal.detail}`),
      ]);
      table(io, ['SERIAL', 'ISSUED', 'RESULT', 'WHY'], rows);
    });
  });
};
