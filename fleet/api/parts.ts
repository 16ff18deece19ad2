// What the routes are given.

import type { Logger } from 'pino';
import type { Questions } from '../ask-device.ts';
import type { Clock } from '../clock.ts';
import type { News } from '../news.ts';
import type { PublishParts } from '../publish-policy.ts';
import type { Store } from '../store/open.ts';

export interface ApiParts {
  readonly tenant: string;
  readonly store: Store;
  readonly questions: Questions;
  readonly publishing: PublishParts;
  readonly news: News;
  /** Digest of the authority and key id of the signer: what a join string pins. */
  readonly authority: string;
  readonly signer: string;
  /** Where devices reach broker and enrollment, as far as it is known here. */
  readonly urls: { readonly device: string; readonly enroll: string };
  readonly status: () => Readonly<Record<string, unknown>>;
  readonly onForget: (device: string) => void;
  /** Called before something is looked up: what devices said a moment ago is to be seen. */
  readonly onChange: () => void;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Who did it, in the audit log: the socket does not tell people apart. */
export const operator = 'operator (socket)';
