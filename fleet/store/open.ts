// The store as its users see it: one file, a table class for each kind of thing, transactions over all.

import { AssignmentStore } from './assignments.ts';
import { AuditStore } from './audit.ts';
import { BundleStore } from './bundles.ts';
import { Database } from './database.ts';
import { DeviceStore } from './devices.ts';
import { EventStore } from './events.ts';
import { ShadowStore } from './shadows.ts';
import { TokenStore } from './tokens.ts';

export interface Store {
  readonly devices: DeviceStore;
  readonly tokens: TokenStore;
  readonly bundles: BundleStore;
  readonly assignments: AssignmentStore;
  readonly shadows: ShadowStore;
  readonly events: EventStore;
  readonly audit: AuditStore;
  transaction<T>(work: () => T): T;
  savepoint<T>(work: () => T): T;
  close(): void;
}

/** `:memory:` for a store that ends with the process. */
export function openStore(path: string): Store {
  const db = new Database(path);
  return {
    devices: new DeviceStore(db),
    tokens: new TokenStore(db),
    bundles: new BundleStore(db),
    assignments: new AssignmentStore(db),
    shadows: new ShadowStore(db),
    events: new EventStore(db),
    audit: new AuditStore(db),
    transaction: (work) => db.transaction(work),
    savepoint: (work) => db.savepoint(work),
    close: () => db.close(),
  };
}
