/** A durable consumer of events that calls handlers, and acknowledges when they have resolved. */

import { Acknowledger, type AckPolicy } from "../acknowledger.js";
import type { SladClient } from "../client.js";
import { invalid } from "../errors.js";
import { delayAfter, NO_RETRY, sleep } from "../retry.js";
import { linked } from "../signals.js";
import type { SlaEvent } from "../stubs/slad/v1/types.js";
import { ACK_TIMEOUT_MS } from "../watch.js";
import { type SlaEventHandlers, type Task, tasksFor } from "./handlers.js";
import { Lanes } from "./lanes.js";
import { MemoryParkingLot, type ParkedEvent, type ParkingLot } from "./parking.js";
import { Progress, Slots } from "./progress.js";

/** How a failing handler is called again, before its event is parked. */
export interface HandlerRetryPolicy {
  /** How often at most. Default 5. */
  attempts: number;
  /** The first bound of the random pause, ms; it doubles each time. Default 500. */
  firstDelayMs: number;
  /** The last one. Default 30,000. */
  maxDelayMs: number;
}

export interface SlaEventConsumerOptions extends AckPolicy {
  /** The name under which slad remembers what was acknowledged. Replicas share it. */
  consumer: string;
  handlers: SlaEventHandlers;
  /** Only this tenant's events. */
  tenantId?: string;
  /** Where a consumer that slad does not know begins. Default: with the oldest event that is retained. */
  afterSequence?: number;
  /** Tickets that are dealt with at the same time. Events of one ticket never are. Default 8. */
  concurrency?: number;
  /** Events that are taken before the first of them is dealt with. Default 1,000. */
  maxPending?: number;
  retry?: Partial<HandlerRetryPolicy>;
  /** After so many ms a handler counts as failed. Default 60,000. */
  handlerTimeoutMs?: number;
  /** How long `run` waits for handlers when it is stopped, ms. Default 10,000. */
  stopTimeoutMs?: number;
  /** Where events that keep failing are kept, durably. Default: in memory, and not acknowledged. */
  parkingLot?: ParkingLot;
  /** Told of an event that was parked. Default: a line of console.error. */
  onParked?: (parked: ParkedEvent) => void;
  /** Told of a stream that broke, and of a parking lot that failed. `run` goes on. Default: a line of console.warn. */
  onTrouble?: (error: unknown) => void;
}

/**
 * `connecting`: there is no stream. `waiting`: there is one, and nothing has come yet; another replica may be
 * the one that is served. `live`: events have come.
 */
export type ConsumerState = "stopped" | "connecting" | "waiting" | "live";

const DEFAULT_HANDLER_RETRY: HandlerRetryPolicy = { attempts: 5, firstDelayMs: 500, maxDelayMs: 30_000 };

const TO_CONSOLE: Pick<SlaEventConsumerOptions, "onParked" | "onTrouble"> = {
  onParked: ({ event, error }) =>
    console.error(`slad: event ${event.event_id} of ticket ${event.ticket_id} is parked: ${error}`),
  onTrouble: (error) => console.warn(`slad: ${error}`),
};

/** One consumer, which runs once. */
export class SlaEventConsumer {
  /** By ticket. */
  private readonly lanes = new Lanes();
  /** The tickets of which an event is parked: their later events are, too. */
  private readonly parkedTickets = new Set<string>();
  /** The ids of the events that the lot held when the stream began: they come again after a crash. */
  private parkedBefore = new Set<string>();
  /** What to call when an event that is parked in memory has been dealt with. */
  private readonly held = new Map<string, () => void>();
  private readonly options: SlaEventConsumerOptions;
  private readonly slots: Slots;
  private readonly progress = new Progress();
  private readonly acknowledger: Acknowledger;
  private readonly retry: HandlerRetryPolicy;
  private readonly lot: ParkingLot;
  private readonly maxPending: number;
  private readonly stopping = new AbortController();
  private readonly stopped: Promise<void>;
  private current: ConsumerState | "new" = "new";

  constructor(
    private readonly client: SladClient,
    options: SlaEventConsumerOptions,
  ) {
    this.options = { ...TO_CONSOLE, ...options };
    if (typeof options.consumer !== "string" || options.consumer === "") {
      throw invalid("consumer", "REQUIRED", "a consumer needs a name under which slad remembers it");
    }
    this.slots = new Slots(positive("concurrency", options.concurrency ?? 8));
    this.maxPending = positive("maxPending", options.maxPending ?? 1_000);
    this.retry = { ...DEFAULT_HANDLER_RETRY, ...options.retry };
    positive("retry.attempts", this.retry.attempts);
    this.lot = options.parkingLot ?? new MemoryParkingLot();
    this.acknowledger = new Acknowledger((sequence) => this.sendAck(sequence), options);
    this.stopped = new Promise((resolve) => {
      this.stopping.signal.addEventListener("abort", () => resolve(), { once: true });
    });
  }

  get state(): ConsumerState {
    return this.current === "new" ? "stopped" : this.current;
  }

  /**
   * Consumes until `signal` is aborted, over all breaks of the connection. Then no further event is begun,
   * handlers that run are waited for, and what they have done is acknowledged. Rejects when slad refuses the
   * consumer for good.
   */
  async run({ signal }: { signal?: AbortSignal } = {}): Promise<void> {
    if (this.current !== "new") {
      throw new Error(`consumer ${this.options.consumer} has run already; make another one`);
    }
    this.current = "connecting";
    const stop = () => this.stopping.abort();
    signal?.addEventListener("abort", stop, { once: true });
    if (signal?.aborted) {
      stop();
    }
    try {
      await this.consume();
    } finally {
      stop();
      signal?.removeEventListener("abort", stop);
      await this.lanes.idle(this.options.stopTimeoutMs ?? 10_000);
      await this.acknowledger.stop();
      this.current = "stopped";
    }
  }

  /** The events that are parked, in order. */
  parked(): Promise<ParkedEvent[]> {
    return this.lot.list();
  }

  /**
   * Tries parked events again, those of each ticket in order up to one that fails: all of them, or those of the
   * ticket of `eventId`. Resolves to the number that went through. A ticket of which none is left goes on.
   */
  async retryParked(eventId?: string): Promise<number> {
    if (this.stopping.signal.aborted) {
      throw new Error(`consumer ${this.options.consumer} has been stopped; make another one`);
    }
    const parked = await this.lot.list();
    const chosen = eventId === undefined ? parked : parked.filter(({ event }) => event.event_id === eventId);
    const tickets = new Set(chosen.map(({ event }) => ticketOf(event)));
    const through = await Promise.all(
      [...tickets].map((ticket) => this.lanes.run(ticket, () => this.retryTicket(ticket))),
    );
    return through.reduce((sum, count) => sum + count, 0);
  }

  /** Gives a parked event up. Events that wait behind it stay parked until `retryParked`. */
  async discardParked(eventId: string): Promise<void> {
    const found = (await this.lot.list()).find(({ event }) => event.event_id === eventId);
    if (found) {
      const ticket = ticketOf(found.event);
      await this.lanes.run(ticket, async () => {
        await this.forget(eventId);
        await this.nextParked(ticket);
      });
    }
  }

  private async consume(): Promise<void> {
    let fresh = true;
    const { consumer, tenantId, afterSequence } = this.options;
    const events = this.client.watchSlaEvents(
      { consumer, tenant_id: tenantId, after_sequence: afterSequence },
      {
        signal: this.stopping.signal,
        onStream: (change, error) => {
          this.current = change === "open" ? "waiting" : "connecting";
          fresh = true;
          if (error) {
            this.options.onTrouble?.(error);
          }
        },
      },
    );
    for await (const event of events) {
      if (fresh) {
        // Now it is this replica's turn; another one may have parked events meanwhile.
        const before = await this.persist(() => this.lot.list());
        this.parkedBefore = new Set(before.map(({ event }) => event.event_id));
        for (const parked of before) {
          this.parkedTickets.add(ticketOf(parked.event));
        }
        fresh = false;
        this.current = "live";
      }
      this.take(event);
      while (this.progress.pending >= this.maxPending && !this.stopping.signal.aborted) {
        await Promise.race([this.progress.change(), this.stopped]);
      }
      if (this.acknowledger.refusal) {
        throw this.acknowledger.refusal;
      }
    }
  }

  private take(event: SlaEvent): void {
    const begun = this.progress.begin(event.sequence);
    const done = () => {
      begun();
      const upTo = this.progress.upTo();
      if (upTo > 0) {
        this.acknowledger.deal(upTo);
      }
    };
    this.lanes
      .run(ticketOf(event), () => this.deal(event, done))
      .catch(() => {
        // Stopped in the middle of an event: slad sends it again.
      });
  }

  private async deal(event: SlaEvent, done: () => void): Promise<void> {
    if (this.options.parkingLot && this.parkedBefore.has(event.event_id)) {
      done();
      return;
    }
    const ticket = ticketOf(event);
    const parked = { event, attempts: 0, error: "", resolved: [] as string[] };
    while (!this.parkedTickets.has(ticket)) {
      const error = await this.attempt(event, parked.attempts + 1, parked.resolved);
      if (error === undefined) {
        done();
        return;
      }
      parked.attempts += 1;
      parked.error = textOf(error);
      if (parked.attempts >= this.retry.attempts) {
        this.parkedTickets.add(ticket);
      } else {
        await sleep(delayAfter(parked.attempts, this.retry), this.stopping.signal);
      }
    }
    await this.park({ ...parked, parkedAt: new Date() }, done);
  }

  /** Sets an event aside. As far as slad is concerned it has been dealt with when a durable lot has it. */
  private async park(parked: ParkedEvent, done: () => void): Promise<void> {
    await this.persist(() => this.lot.put(parked));
    if (this.options.parkingLot) {
      done();
    } else {
      this.held.set(parked.event.event_id, done);
    }
    this.options.onParked?.(parked);
  }

  /**
   * Calls the handlers that are not in `resolved`, and puts them there. Returns what one of them failed with;
   * raises only when the consumer stops.
   */
  private attempt(event: SlaEvent, attempt: number, resolved: string[]): Promise<unknown> {
    return this.slots.use(async () => {
      this.stopping.signal.throwIfAborted();
      try {
        for (const task of tasksFor(event, this.options.handlers)) {
          if (!resolved.includes(task.name)) {
            await this.runTask(task, event, attempt);
            resolved.push(task.name);
          }
        }
        return undefined;
      } catch (error) {
        this.stopping.signal.throwIfAborted();
        return error ?? new Error("a handler failed without a reason");
      }
    });
  }

  private async runTask(task: Task, event: SlaEvent, attempt: number): Promise<void> {
    const limit = this.options.handlerTimeoutMs ?? 60_000;
    const late = linked(this.stopping.signal);
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        const error = new Error(`${task.name} took longer than ${limit} ms`);
        late.abort(error);
        reject(error);
      }, limit);
    });
    try {
      await Promise.race([(async () => task.run({ event, attempt, signal: late.signal }))(), timeout]);
    } finally {
      clearTimeout(timer);
      late.release();
    }
  }

  private async retryTicket(ticket: string): Promise<number> {
    for (let through = 0; ; through += 1) {
      const next = await this.nextParked(ticket);
      if (!next) {
        return through;
      }
      const attempts = next.attempts + 1;
      const resolved = [...next.resolved];
      const error = await this.attempt(next.event, attempts, resolved);
      if (error !== undefined) {
        await this.lot.put({ ...next, attempts, resolved, error: textOf(error) });
        return through;
      }
      await this.forget(next.event.event_id);
    }
  }

  /** The first parked event of a ticket. Without one, the ticket goes on. */
  private async nextParked(ticket: string): Promise<ParkedEvent | undefined> {
    const next = (await this.lot.list()).find(({ event }) => ticketOf(event) === ticket);
    if (!next) {
      this.parkedTickets.delete(ticket);
    }
    return next;
  }

  private async forget(eventId: string): Promise<void> {
    await this.lot.remove(eventId);
    this.held.get(eventId)?.();
    this.held.delete(eventId);
  }

  /** Does what the parking lot must have done, however long it takes; raises only when the consumer stops. */
  private async persist<Result>(work: () => Promise<Result>): Promise<Result> {
    for (let failures = 1; ; failures += 1) {
      try {
        return await work();
      } catch (error) {
        this.options.onTrouble?.(error);
        await sleep(delayAfter(failures, this.retry), this.stopping.signal);
      }
    }
  }

  private sendAck(sequence: number): Promise<void> {
    const { consumer } = this.options;
    return this.client.ackSlaEvents({ consumer, sequence }, { timeoutMs: ACK_TIMEOUT_MS, retry: NO_RETRY });
  }
}

function ticketOf(event: SlaEvent): string {
  return JSON.stringify([event.tenant_id, event.ticket_id]);
}

function textOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

function positive(name: string, value: number): number {
  if (!Number.isInteger(value) || value < 1) {
    throw invalid(name, "OUT_OF_RANGE", `${value} is not a number from 1`);
  }
  return value;
}
