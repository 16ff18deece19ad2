// The controller, put together: store, broker, session, flows, API. Built here, stopped in the reverse order.

import { X509Certificate } from 'node:crypto';
import { isIPv6 } from 'node:net';
import type { Logger } from 'pino';
import type { Envelope } from '../agent/contract/envelope.ts';
import { controllerFilters } from '../agent/contract/topics.ts';
import { Api } from './api/server.ts';
import { Questions } from './ask-device.ts';
import type { Clock } from './clock.ts';
import type { DataFolder } from './data-folder.ts';
import { PartDelivery } from './deliver-parts.ts';
import { Enrollment } from './enroll-device.ts';
import { type BrokerLimits, EmbeddedBroker } from './link/broker.ts';
import { BrokerSession, type SessionTls } from './link/session.ts';
import { News } from './news.ts';
import { publishDesired } from './publish-policy.ts';
import { publishShadows } from './publish-shadow.ts';
import { Inbox } from './receive-message.ts';
import { type Retention, retentionDefault } from './store/events.ts';
import { GroupCommit } from './store/group-commit.ts';
import { openStore, type Store } from './store/open.ts';

export interface ControllerOptions {
  readonly data: DataFolder;
  readonly clock: Clock;
  readonly log: Logger;
  /** The broker in this process; null for one elsewhere, at `broker`. */
  readonly embedded: {
    readonly listen?: string | undefined;
    readonly port: number;
    readonly enrollPort: number;
    readonly limits?: Partial<BrokerLimits>;
  } | null;
  /** `mqtts://host:port`; ignored with an embedded one. */
  readonly broker?: string | undefined;
  /** What join strings say, where it is not what can be known from here. */
  readonly deviceUrl?: string | undefined;
  readonly enrollUrl?: string | undefined;
  readonly retention?: Retention;
}

/** Our name as an asker of questions. */
const who = 'controller';
const pruneEveryMs = 60_000;
const pruneStepMs = 100;

export class Controller {
  readonly store: Store;
  readonly #options: ControllerOptions;
  readonly #broker: EmbeddedBroker | null;
  readonly #session: BrokerSession;
  readonly #commits: GroupCommit;
  readonly #delivery: PartDelivery;
  readonly #inbox: Inbox;
  readonly #api: Api;
  readonly #news: News;
  #pruner: NodeJS.Timeout;

  static async start(options: ControllerOptions): Promise<Controller> {
    const { data, clock, log, embedded } = options;
    const { tenant } = data.config;
    await Api.assertFree(data.paths.socket);
    const store = openStore(data.paths.database);
    let broker: EmbeddedBroker | null = null;
    try {
      for (const holder of data.renewed) {
        store.audit.append({ who, what: 'certificate.renew', object: holder, detail: {} }, clock.now());
      }
      if (embedded !== null) {
        broker = await EmbeddedBroker.start({
          tenant,
          ...embedded,
          certificate: data.server.certificate,
          key: data.server.key,
          authority: data.authority.certificate,
          admits: (device) => store.devices.isEnrolled(device),
          log: log.child({ part: 'broker' }),
        });
        // It holds no sessions from before: who is connected will say so.
        store.devices.allGone(clock.now());
      }
      const controller = new Controller(options, store, broker);
      await controller.#api.listen(data.paths.socket);
      controller.#session.start();
      return controller;
    } catch (error) {
      await broker?.close();
      store.close();
      throw error;
    }
  }

  private constructor(options: ControllerOptions, store: Store, broker: EmbeddedBroker | null) {
    const { data, clock, log } = options;
    const { authority, signer } = data;
    const { tenant } = data.config;
    this.#options = options;
    this.store = store;
    this.#broker = broker;
    this.#news = new News();
    this.#commits = new GroupCommit(store, log);
    const envelope = envelopes(clock);
    const publish = (topic: string, payload: Uint8Array | string, retain = false) =>
      this.#session.publish(topic, payload, { retain });
    const publishRetained = (topic: string, payload: Uint8Array) => publish(topic, payload, true);

    const questions = new Questions({ tenant, who, publish, envelope });
    const enrollment = new Enrollment({ tenant, authority, signer, store, clock });
    this.#delivery = new PartDelivery({ tenant, bundles: store.bundles, publish, clock, log });
    this.#inbox = new Inbox({
      ...{ tenant, who, signer, store, enrollment, questions, publish, envelope, clock },
      commits: this.#commits,
      delivery: this.#delivery,
      onNews: () => this.#news.tell(),
      log: log.child({ part: 'inbox' }),
    });
    const publishing = { tenant, signer, store, publish: publishRetained, clock, log };
    this.#session = new BrokerSession({
      ...this.#brokerAccess(),
      clientId: who,
      filters: [...controllerFilters(tenant), `husk/${tenant}/d/+/up/rs/${who}`, `husk/${tenant}/c/+/+/up`],
      onMessage: (topic, payload) => this.#inbox.receive(topic, payload),
      onUp: () => {
        publishDesired(publishing, 'all');
        publishShadows(publishing, 'all');
        this.#news.tell();
      },
      log: log.child({ part: 'session' }),
    });
    this.#api = new Api({
      ...{ tenant, store, questions, publishing, clock, log },
      authority: data.authority.digest,
      signer: signer.keyid,
      news: this.#news,
      urls: this.#urls(),
      status: () => this.#status(),
      onForget: (device) => this.#broker?.disconnect(device),
      onChange: () => this.#commits.flush(),
    });
    this.#pruner = setTimeout(() => this.#prune(), pruneEveryMs);
  }

  /** Where it listens, for people. */
  get listening(): { readonly devices: string; readonly enrollment: string; readonly api: string } {
    const urls = this.#urls();
    const broker = this.#broker?.status();
    return {
      devices: broker?.deviceAddress ?? urls.device,
      enrollment: broker?.enrollAddress ?? urls.enroll,
      api: this.#options.data.paths.socket,
    };
  }

  get ports(): { readonly device: number; readonly enroll: number } {
    return { device: this.#broker?.devicePort ?? 0, enroll: this.#broker?.enrollPort ?? 0 };
  }

  get isConnected(): boolean {
    return this.#session.status().isUp;
  }

  async close(): Promise<void> {
    clearTimeout(this.#pruner);
    this.#news.close();
    await this.#api.close();
    this.#delivery.close();
    // First our own session: the last wills of everybody else are not news when all of it ends.
    await this.#session.close();
    await this.#broker?.close();
    this.#commits.close();
    this.store.close();
  }

  #brokerAccess(): { readonly url: string; readonly tls: SessionTls } {
    const { data, embedded, broker } = this.#options;
    const { controller, authority, server } = data;
    const tls = { ca: authority.certificate, cert: controller.certificate, key: controller.key };
    if (this.#broker === null || embedded === null) {
      if (broker === undefined) throw new TypeError('neither an embedded broker nor the address of another');
      return { url: broker, tls };
    }
    // It is our own server that answers, whatever name or address it is reached by.
    const own = new X509Certificate(server.certificate).raw;
    const checkServerIdentity: SessionTls['checkServerIdentity'] = (_host, certificate) =>
      certificate.raw.equals(own) ? undefined : new Error('this is not the embedded broker');
    const host = loopbackOf(embedded.listen, this.#broker.status().deviceAddress);
    return { url: `mqtts://${host}:${this.#broker.devicePort}`, tls: { ...tls, checkServerIdentity } };
  }

  #urls(): { readonly device: string; readonly enroll: string } {
    const { data, broker, deviceUrl, enrollUrl } = this.#options;
    const name = data.config.names[0] ?? 'localhost';
    const host = isIPv6(name) ? `[${name}]` : name;
    const own = {
      device: `mqtts://${host}:${this.#broker?.devicePort}`,
      enroll: `mqtts://${host}:${this.#broker?.enrollPort}`,
    };
    const theirs = this.#broker === null && broker !== undefined ? besides(broker) : own;
    return { device: deviceUrl ?? theirs.device, enroll: enrollUrl ?? theirs.enroll };
  }

  #status() {
    return {
      tenant: this.#options.data.config.tenant,
      listening: this.listening,
      session: this.#session.status(),
      broker: this.#broker?.status() ?? null,
      inbox: this.#inbox.counts(),
      parts: this.#delivery.counts(),
      changesFailed: this.#commits.failed,
    };
  }

  /** A step at a time, so that devices are heard in between. */
  #prune(): void {
    const { retention = retentionDefault, clock, log } = this.#options;
    let isMore = false;
    try {
      isMore = this.store.transaction(() => this.store.events.prune(retention, clock.now())) > 0;
    } catch (error) {
      log.error({ err: error }, 'old events could not be removed');
    }
    this.#pruner = setTimeout(() => this.#prune(), isMore ? pruneStepMs : pruneEveryMs);
  }
}

/** Messages of ours: no session, no boot, numbers of this process. */
function envelopes(clock: Clock): (kind: string, body: unknown) => Envelope {
  let seq = 0;
  return (kind, body) => {
    seq += 1;
    const mono = Math.floor(performance.now());
    return { v: 1, k: kind, sid: 0, boot: '', seq, mono, ts: clock.now(), tq: 'ntp', body };
  };
}

/** How this machine reaches what listens there. */
function loopbackOf(listen: string | undefined, address: string): string {
  if (listen === undefined || listen === '::' || listen === '0.0.0.0') {
    return address.startsWith('[') ? '[::1]' : '127.0.0.1';
  }
  return isIPv6(listen) ? `[${listen}]` : listen;
}

/** The enrollment listener of a broker elsewhere is taken to be on the next port. */
function besides(broker: string): { readonly device: string; readonly enroll: string } {
  const url = new URL(broker);
  const port = url.port === '' ? 8883 : Number(url.port);
  return { device: `mqtts://${url.hostname}:${port}`, enroll: `mqtts://${url.hostname}:${port + 1}` };
}
