// What every JSON message between a device and the fleet is wrapped in.
//
// Ids, order and time are in the payload, so that nothing hangs on a property of MQTT 5 or on the
// broker's own order between topics.

/** How a wall-clock time was come by: NTP, the controller's signed time, the stored floor, not at all. */
export type TimeQuality = 'ntp' | 'controller' | 'floor' | 'none';

export interface Envelope<Body = unknown> {
  readonly v: 1;
  /** Kind of the body, as in `st.birth`, `rep`, `ev.batch`, `rq.query`, `ack.spool`. */
  readonly k: string;
  /** Sender's session: grows by one with each CONNECT, over reboots too. 0 from the controller. */
  readonly sid: number;
  /** The kernel's boot id (`/proc/sys/kernel/random/boot_id`); '' from the controller. */
  readonly boot: string;
  /** Grows by one with each message of this session on this topic. */
  readonly seq: number;
  /** Milliseconds of boot time when it was made; of the process from the controller. */
  readonly mono: number;
  /** Unix milliseconds, or null while time is unknown. */
  readonly ts: number | null;
  readonly tq: TimeQuality;
  readonly body: Body;
}

export const envelopeKinds = {
  birth: 'st.birth',
  goodbye: 'st.bye',
  will: 'st.gone',
  reported: 'rep',
  events: 'ev.batch',
  metrics: 'm',
  fetchParts: 'ask.parts',
  confirmTrial: 'ask.confirm',
  confirmed: 'ack.trial',
  spooled: 'ack.spool',
  query: 'rq.query',
  answer: 'rs.part',
} as const;
