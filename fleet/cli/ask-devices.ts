// The same question to many devices, some at a time: who answered, with what, and who did not, and why.

import type { View } from '../../agent/contract/query.ts';
import { messageOf } from '../../agent/contract/thrown.ts';
import type { DeviceView } from '../api/views.ts';
import type { ApiClient } from './api-client.ts';

export interface Answered {
  readonly device: string;
  readonly hostname: string;
  readonly rows: readonly unknown[];
}

export interface Unanswered {
  readonly device: string;
  readonly hostname: string;
  readonly why: string;
}

export interface Question {
  readonly view: View;
  readonly args: Readonly<Record<string, unknown>>;
  readonly withinSeconds: number;
}

/** Questions on their way. */
const atOnce = 16;

/** Of the fleet: those named by id, the beginning of it or host name, as the controller finds them; none named: all. */
export async function askDevices(
  api: ApiClient,
  named: readonly string[] | undefined,
  { view, args, withinSeconds }: Question,
): Promise<{ readonly answered: readonly Answered[]; readonly unanswered: readonly Unanswered[] }> {
  const devices =
    named === undefined
      ? await api.get<readonly DeviceView[]>('/v1/devices')
      : await Promise.all(named.map((one) => api.get<DeviceView>(`/v1/devices/${encodeURIComponent(one)}`)));
  const answered: Answered[] = [];
  const unanswered: Unanswered[] = [];
  const left = new Map(devices.map((one) => [one.device, one])).values();
  const askNext = async (): Promise<void> => {
    for (const { device, hostname } of left) {
      try {
        const body = { view, args, withinMs: withinSeconds * 1000 };
        const { rows } = await api.post<Answered>(`/v1/devices/${device}/query`, body);
        answered.push({ device, hostname, rows });
      } catch (error) {
        unanswered.push({ device, hostname, why: messageOf(error) });
      }
    }
  };
  await Promise.all(Array.from({ length: atOnce }, askNext));
  return { answered, unanswered };
}
