// husk device list: one row a device.

import type { DeviceView } from '../api/views.ts';
import { type CommandFile, type CommonOptions, client, command, show } from './common.ts';
import { type Style, table, time } from './io.ts';

export const deviceList: CommandFile = (parent, io) => {
  command(parent, io, 'list', 'List the devices of the fleet and what they enforce')
    .addHelpText(
      'after',
      `
STATE    up; bye: it said goodbye; gone: lost a moment ago; offline: lost; never: enrolled, not seen yet.
DESIRED  the newest serial assigned to it, and what it said of that.`,
    )
    .action(async (options: CommonOptions) => {
      const devices = await client(options).get<readonly DeviceView[]>('/v1/devices');
      show(io, options, devices, () => {
        const rows = devices.map((one) => [
          one.device,
          one.hostname,
          one.state,
          time(one.stateAt),
          one.inForce === null ? '-' : String(one.inForce.serial),
          one.desired === null ? '-' : `${one.desired.serial} ${one.desired.result}`,
          one.agent ?? '-',
        ]);
        table(io, ['DEVICE', 'HOSTNAME', 'STATE', 'SINCE', 'IN FORCE', 'DESIRED', 'AGENT'], rows, styleOf);
      });
    });
};

function styleOf(column: number, text: string): Style | null {
  if (column === 2) return text === 'up' ? 'green' : 'yellow';
  if (column !== 5) return null;
  if (text.endsWith(' confirmed')) return 'green';
  return / (refused|returned)$/.test(text) ? 'red' : null;
}
