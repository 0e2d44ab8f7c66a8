/** Watching events, and SlaEventConsumer, against the daemon. */

import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import {
  InvalidArgument,
  type ParkedEvent,
  type ParkingLot,
  parkedFromJson,
  parkedToJson,
  SladClient,
  SladError,
  type SlaEvent,
  SlaEventConsumer,
  type SlaEventConsumerOptions,
  type SlaEventHandlers,
} from "../src/index.js";
import { type Daemon, daemon, HOUR, MINUTE, MONDAY_9, PATIENCE_MS, until } from "./daemon.js";

const TARGET = {
  response_time_minutes: 60,
  resolution_time_minutes: 240,
  escalation_1_percent: 75,
  escalation_2_percent: 120,
  is_24x7: true,
};

function start(slad: Daemon, ticket_id: string, more: object = {}) {
  return slad.client.startSlaTracking({
    tenant_id: "acme",
    ticket_id,
    targets: [TARGET],
    policy_id: "gold",
    ...more,
  });
}

function short({ type, ticket_id, phase, threshold }: SlaEvent): string {
  const what = type.replace("SLA_EVENT_TYPE_", "");
  return threshold
    ? `${ticket_id} ${phase.replace("SLA_PHASE_", "")} ${threshold.percent} ${what}`
    : `${ticket_id} ${what}`;
}

/** A consumer that runs until the test ends, or `stop`. */
function consume(
  context: TestContext,
  client: SladClient,
  handlers: SlaEventHandlers,
  options: Partial<SlaEventConsumerOptions> = {},
) {
  const stopping = new AbortController();
  const consumer = new SlaEventConsumer(client, {
    consumer: "notifier",
    handlers,
    ackIntervalMs: 10,
    retry: { attempts: 3, firstDelayMs: 1, maxDelayMs: 5 },
    ...options,
  });
  const running = consumer.run({ signal: stopping.signal });
  running.catch(() => undefined);
  const stop = async () => {
    stopping.abort();
    await running;
  };
  context.after(() => stop().catch(() => undefined));
  return { consumer, running, stop };
}

async function acknowledged(slad: Daemon, name = "notifier"): Promise<number> {
  const consumers = await slad.client.listSlaConsumers();
  return consumers.find(({ consumer }) => consumer === name)?.acknowledged_sequence ?? 0;
}

test("a look goes over restarts, and tells nothing twice", async (t) => {
  const slad = await daemon(t);
  await start(slad, "A");
  const seen: string[] = [];
  const changes: string[] = [];
  const leave = new AbortController();
  const reading = (async () => {
    const options = { signal: leave.signal, onStream: (change: string) => changes.push(change) };
    for await (const event of slad.client.watchSlaEvents({ after_sequence: 0 }, options)) {
      seen.push(short(event));
    }
  })();
  await until(() => seen.length === 1, "the start is seen");
  await slad.stop("SIGKILL");
  await slad.start(new Date(MONDAY_9.getTime() + MINUTE));
  await start(slad, "B");
  await until(() => seen.length === 2, "the second start is seen");
  assert.deepEqual(seen, ["A STARTED", "B STARTED"]);
  assert.deepEqual([changes[0], changes[1], changes.at(-1)], ["open", "broken", "open"]);
  leave.abort();
  await reading;
});

test("a watch is left by break, by its signal, and by closing the client", async (t) => {
  const slad = await daemon(t);
  await start(slad, "A");
  for await (const event of slad.client.watchSlaEvents({ after_sequence: 0 })) {
    assert.equal(short(event), "A STARTED");
    break;
  }
  const waiting = slad.client.watchSlaEvents();
  const next = waiting.next();
  await waiting.return?.();
  assert.equal((await next).done, true);
  for await (const _ of slad.client.watchSlaEvents({}, { signal: AbortSignal.abort() })) {
    assert.fail("nothing is to come");
  }
  const other = new SladClient({ address: slad.address });
  const reading = (async () => {
    for await (const _ of other.watchSlaEvents()) {
      assert.fail("nothing is to come");
    }
  })();
  setTimeout(() => other.close(), 50);
  await reading;
});

test("a watch acknowledges an event when the next one is asked for", async (t) => {
  const slad = await daemon(t);
  for (const ticket of ["A", "B", "C"]) {
    await start(slad, ticket);
  }
  const seen: string[] = [];
  for await (const event of slad.client.watchSlaEvents({ consumer: "psa" }, { acknowledge: true })) {
    seen.push(event.ticket_id);
    if (event.ticket_id === "B") {
      break;
    }
  }
  assert.equal(await acknowledged(slad, "psa"), 1, "B was not dealt with");
  for await (const event of slad.client.watchSlaEvents(
    { consumer: "psa" },
    { acknowledge: true, ackEvery: 1 },
  )) {
    seen.push(event.ticket_id);
    if (event.ticket_id === "C") {
      break;
    }
  }
  assert.deepEqual(seen, ["A", "B", "B", "C"]);
  assert.equal(await acknowledged(slad, "psa"), 2);
});

test("what a watch cannot be is refused, and a refusal by slad ends it", async (t) => {
  const slad = await daemon(t);
  await assert.rejects(slad.client.watchSlaEvents({}, { acknowledge: true }).next(), InvalidArgument);
  // biome-ignore lint/suspicious/noExplicitAny: this is JavaScript calling
  assert.throws(() => slad.client.watchSlaEvents({ types: ["STARTED"] } as any), InvalidArgument);
  await assert.rejects(
    slad.client.watchSlaEvents({ after_sequence: 7 }).next(),
    (error) => error instanceof InvalidArgument && error.reason === "BEYOND_HEAD",
  );
  assert.throws(() => new SlaEventConsumer(slad.client, { consumer: "", handlers: {} }), InvalidArgument);
  assert.throws(
    () => new SlaEventConsumer(slad.client, { consumer: "x", handlers: {}, concurrency: 0 }),
    InvalidArgument,
  );
  const { running } = consume(t, slad.client, {}, { afterSequence: 7 });
  await assert.rejects(running, (error) => error instanceof SladError && error.reason === "BEYOND_HEAD");
});

test("handlers are given what AlgaPSA's activities take, and events are acknowledged", async (t) => {
  const slad = await daemon(t);
  await start(slad, "A", { attributes: { board: "7" } });
  await slad.clock.advanceBy(HOUR + 12 * MINUTE);
  await slad.client.completeSla({ ticket_id: "A", phase: "SLA_PHASE_RESPONSE" });
  await slad.client.pauseSla({ ticket_id: "A", reason: "SLA_PAUSE_REASON_AWAITING_CLIENT" });
  await slad.client.completeSla({ ticket_id: "A", phase: "SLA_PHASE_RESOLUTION" });
  const told: string[] = [];
  const audit: string[] = [];
  const first: unknown[] = [];
  consume(t, slad.client, {
    onNotification: (n) => {
      first.push(n);
      told.push(`notify ${n.phase} ${n.thresholdPercent}${n.breach ? " breach" : ""}`);
    },
    onEscalation: (e) => told.push(`escalate ${e.phase} ${e.thresholdPercent} to ${e.level}`),
    onBreach: (b) => told.push(`breach ${b.phase} ${b.breached}`),
    onCompleted: (c) => told.push(`completed ${c.phase} met=${c.met} breached=${c.breached}`),
    onAny: (entry, { event, attempt }) => {
      assert.equal(attempt, 1);
      assert.equal(entry.eventData.event_id, event.event_id);
      audit.push(entry.eventType);
    },
  });
  await until(async () => (await acknowledged(slad)) === 10, "everything is acknowledged");
  assert.deepEqual(told, [
    "notify response 50",
    "notify response 75",
    "escalate response 75 to 1",
    "notify response 90",
    "notify response 100 breach",
    "breach response true",
    "escalate response 120 to 2",
    "completed response met=false breached=true",
    "completed resolution met=true breached=false",
  ]);
  assert.deepEqual(audit, [
    "sla_started",
    ...Array(5).fill("sla_threshold_reached"),
    "sla_phase_completed",
    "sla_paused",
    "sla_phase_completed",
    "sla_completed",
  ]);
  const { eventId, ...rest } = first[0] as { eventId: string };
  assert.match(eventId, /^[0-9a-f-]{36}$/);
  assert.deepEqual(rest, {
    tenantId: "acme",
    ticketId: "A",
    policyId: "gold",
    generation: 1,
    occurredAt: new Date("2026-03-02T09:30:00Z"),
    attributes: { board: "7" },
    phase: "response",
    clock: "response",
    cycle: 1,
    thresholdPercent: 50,
    superseded: false,
    breach: false,
  });
});

test("thresholds of a named clock are not taken for those of a phase", async (t) => {
  const slad = await daemon(t);
  const clocks = [{ name: "updates", kind: "SLA_CLOCK_KIND_PERIODIC_UPDATE" as const, target_minutes: 30 }];
  await start(slad, "A", { clocks, notification_thresholds: [100] });
  await slad.clock.advanceBy(30 * MINUTE);
  await slad.client.assignSla({ ticket_id: "A", owner: "ann" });
  await slad.client.recordSlaMessage({ ticket_id: "A", sender: "SLA_MESSAGE_SENDER_AGENT" });
  const told: unknown[] = [];
  const audit: Record<string, unknown>[] = [];
  const tell = ({ phase, clock, cycle }: { phase?: string; clock: string; cycle: number }) =>
    told.push([phase, clock, cycle]);
  consume(t, slad.client, {
    onNotification: tell,
    onBreach: tell,
    onCompleted: ({ phase }) => told.push([phase]),
    onAny: ({ eventType, eventData }) => {
      audit.push({ eventType, ...eventData });
    },
  });
  const entry = (type: string) => audit.filter(({ eventType }) => eventType === type);
  await until(async () => entry("sla_clock_opened").length === 2, "the second cycle has begun");
  assert.deepEqual(told, [[undefined, "updates", 1], [undefined, "updates", 1], ["response"]]);
  const [breach] = entry("sla_threshold_reached");
  assert.deepEqual(
    [breach?.phase, breach?.clock, breach?.cycle, breach?.cycle_opened_at],
    [undefined, "updates", 1, "2026-03-02T09:00:00.000Z"],
  );
  assert.equal(entry("sla_owner_changed")[0]?.owner, "ann");
});

test("a parked event that was kept as text is the one that was parked, with its Dates", async (t) => {
  const slad = await daemon(t);
  await start(slad, "A");
  await slad.clock.advanceBy(HOUR);
  for await (const event of slad.client.watchSlaEvents({ after_sequence: 0 })) {
    const parked = { event, attempts: 1, error: "away", parkedAt: new Date(), resolved: ["onAny"] };
    assert.deepEqual(parkedFromJson(parkedToJson(parked)), parked);
    if (event.threshold?.breach) {
      break;
    }
  }
});

test("a retraction is told to its own handler", async (t) => {
  const slad = await daemon(t);
  await start(slad, "A");
  await slad.clock.advanceBy(40 * MINUTE);
  const paused = new Date(MONDAY_9.getTime() + 10 * MINUTE);
  await slad.client.pauseSla({
    ticket_id: "A",
    reason: "SLA_PAUSE_REASON_STATUS_PAUSE",
    effective_at: paused,
  });
  const told: string[] = [];
  consume(t, slad.client, {
    onRetracted: (r) =>
      told.push(`${r.phase} ${r.thresholdPercent} notification=${r.notification} level=${r.level}`),
  });
  await until(() => told.length === 1, "the retraction is told");
  assert.deepEqual(told, ["response 50 notification=true level=0"]);
});

test("after a downtime people are told of the highest threshold only, and never of none", async (t) => {
  const slad = await daemon(t);
  await start(slad, "A");
  await slad.stop();
  await slad.start(new Date(MONDAY_9.getTime() + 80 * MINUTE));
  const told: string[] = [];
  consume(t, slad.client, {
    onNotification: (n) => told.push(`notify ${n.thresholdPercent}`),
    onEscalation: (e) => told.push(`escalate ${e.level}`),
    onBreach: () => told.push("breach"),
  });
  await until(async () => (await acknowledged(slad)) === 6, "everything is acknowledged");
  // 120 % fired with it and is no notification: 100 % is superseded, and told all the same.
  assert.deepEqual(told, ["escalate 1", "notify 100", "breach", "escalate 2"]);
});

test("a handler that fails is called again, and those that have resolved are not", async (t) => {
  const slad = await daemon(t);
  const calls: string[] = [];
  let failures = 2;
  consume(t, slad.client, {
    onNotification: (n) => calls.push(`notify ${n.thresholdPercent}`),
    onAny: ({ eventType }, { attempt }) => {
      calls.push(`${eventType} ${attempt}`);
      if (eventType === "sla_threshold_reached" && failures > 0) {
        failures -= 1;
        throw new Error("not now");
      }
    },
  });
  await start(slad, "A");
  await slad.clock.advanceBy(30 * MINUTE);
  await until(async () => (await acknowledged(slad)) === 2, "both are acknowledged");
  assert.deepEqual(calls, [
    "sla_started 1",
    "notify 50",
    "sla_threshold_reached 1",
    "sla_threshold_reached 2",
    "sla_threshold_reached 3",
  ]);
});

/** A parking lot as a PSA's table would be: text, and shared by replicas. */
class Table implements ParkingLot {
  readonly rows = new Map<string, string>();
  failures = 0;
  async put(parked: ParkedEvent): Promise<void> {
    if (this.failures > 0) {
      this.failures -= 1;
      throw new Error("the database is away");
    }
    this.rows.set(parked.event.event_id, parkedToJson(parked));
  }
  async list(): Promise<ParkedEvent[]> {
    return [...this.rows.values()].map(parkedFromJson).sort((a, b) => a.event.sequence - b.event.sequence);
  }
  async remove(eventId: string): Promise<void> {
    this.rows.delete(eventId);
  }
}

test("an event that keeps failing is parked with those behind it, and others go on; a retry lets them go", async (t) => {
  const slad = await daemon(t);
  const lot = new Table();
  lot.failures = 2;
  const done: string[] = [];
  const noticed: string[] = [];
  const troubles: unknown[] = [];
  let broken = true;
  const handlers: SlaEventHandlers = {
    onNotification: () => undefined,
    onAny: async ({ ticketId, eventType }) => {
      if (broken && ticketId === "A") {
        throw new Error("A is poison");
      }
      done.push(`${ticketId} ${eventType}`);
    },
  };
  const options: Partial<SlaEventConsumerOptions> = {
    parkingLot: lot,
    onParked: ({ event, attempts }) => noticed.push(`${event.ticket_id} ${attempts}`),
    onTrouble: (error) => troubles.push(error),
  };
  const { consumer, stop } = consume(t, slad.client, handlers, options);
  await start(slad, "A");
  await start(slad, "B");
  await slad.clock.advanceBy(30 * MINUTE);
  await until(async () => (await acknowledged(slad)) === 4, "all is acknowledged, as the lot is durable");
  assert.equal(troubles.length, 2);
  assert.deepEqual(done, ["B sla_started", "B sla_threshold_reached"]);
  assert.deepEqual(noticed, ["A 3", "A 0"]);
  const [first, second] = await consumer.parked();
  assert.match(first?.error ?? "", /A is poison/);
  assert.equal(first?.attempts, 3);
  assert.equal(second?.event.threshold?.percent, 50);
  assert.deepEqual(second?.event.occurred_at, new Date("2026-03-02T09:30:00Z"));

  assert.equal(await consumer.retryParked(), 0);
  assert.equal((await consumer.parked())[0]?.attempts, 4);
  await stop();

  // Another replica knows of them, too.
  const { consumer: heir } = consume(t, slad.client, handlers, options);
  await slad.clock.advanceBy(15 * MINUTE);
  await until(() => done.includes("B sla_threshold_reached") && done.length === 3, "B is served");
  await until(async () => (await heir.parked()).length === 3, "the next event of A waits behind the others");
  broken = false;
  assert.equal(await heir.retryParked(first?.event.event_id), 3);
  assert.deepEqual(await heir.parked(), []);
  assert.deepEqual(done.slice(3), ["A sla_started", "A sla_threshold_reached", "A sla_threshold_reached"]);
  await slad.clock.advanceBy(15 * MINUTE);
  await until(() => done.filter((line) => line === "A sla_threshold_reached").length === 4, "A goes on");
});

test("what comes again after a crash is left as it is parked", async (t) => {
  const slad = await daemon(t);
  const lot = new Table();
  const done: string[] = [];
  const handlers: SlaEventHandlers = {
    onAny: ({ ticketId }) => {
      if (ticketId === "A") {
        throw new Error("A is poison");
      }
      done.push(ticketId);
    },
  };
  await start(slad, "A");
  await start(slad, "B");
  const { stop } = consume(t, slad.client, handlers, { parkingLot: lot });
  await until(() => lot.rows.size === 1 && done.length === 1, "A is parked");
  await stop();
  const before = [...lot.rows];
  // For a consumer of another name nothing is acknowledged, as after a crash before the acknowledgement.
  consume(t, slad.client, handlers, { consumer: "again", parkingLot: lot });
  await until(async () => (await acknowledged(slad, "again")) === 2, "both come again");
  assert.deepEqual([...lot.rows], before);
});

test("without a listener the console tells of a parked event", async (t) => {
  const slad = await daemon(t);
  const error = t.mock.method(console, "error", () => undefined);
  consume(t, slad.client, { onAny: () => Promise.reject(new Error("poison")) });
  await start(slad, "A");
  await until(async () => error.mock.callCount() === 1, "it is parked");
  assert.match(
    String(error.mock.calls[0]?.arguments[0]),
    /event [0-9a-f-]+ of ticket A is parked: Error: poison/,
  );
});

test("without a durable parking lot nothing parked is acknowledged, and a restart brings it again", async (t) => {
  const slad = await daemon(t);
  let broken = true;
  const done: string[] = [];
  const handlers: SlaEventHandlers = {
    onAny: ({ ticketId }) => {
      if (broken && ticketId === "B") {
        throw new Error("B is poison");
      }
      done.push(ticketId);
    },
  };
  for (const ticket of ["A", "B", "C"]) {
    await start(slad, ticket);
  }
  const { consumer, stop } = consume(t, slad.client, handlers);
  await until(
    async () => (await consumer.parked()).length === 1 && done.length === 2,
    "B is parked, the others done",
  );
  await stop();
  assert.equal(await acknowledged(slad), 1);
  await assert.rejects(consumer.retryParked(), /stopped/);
  await assert.rejects(consumer.run(), /already/);

  const again = consume(t, slad.client, handlers);
  await until(async () => (await again.consumer.parked()).length === 1, "B is parked once more");
  broken = false;
  assert.equal(await again.consumer.retryParked(), 1);
  await until(async () => (await acknowledged(slad)) === 3, "now all is acknowledged");
  assert.deepEqual(done, ["A", "C", "C", "B"]);

  broken = true;
  await slad.client.pauseSla({ ticket_id: "B", reason: "SLA_PAUSE_REASON_STATUS_PAUSE" });
  await until(async () => (await again.consumer.parked()).length === 1, "the pause is parked");
  await again.consumer.discardParked((await again.consumer.parked())[0]?.event.event_id ?? "");
  await until(async () => (await acknowledged(slad)) === 4, "it was given up");
});

test("a handler that hangs counts as failed, and its signal says so", async (t) => {
  const slad = await daemon(t);
  const reasons: string[] = [];
  const { consumer } = consume(
    t,
    slad.client,
    {
      onAny: (_, { signal }) =>
        new Promise(() => {
          signal.addEventListener("abort", () => reasons.push(String(signal.reason)));
        }),
    },
    { handlerTimeoutMs: 20, retry: { attempts: 2, firstDelayMs: 1, maxDelayMs: 1 } },
  );
  await start(slad, "A");
  await until(async () => (await consumer.parked()).length === 1, "it is parked");
  assert.deepEqual(reasons, Array(2).fill("Error: onAny took longer than 20 ms"));
});

test("tickets are dealt with side by side up to a number, one ticket's events in order, and reading waits", async (t) => {
  const slad = await daemon(t);
  const tickets = Array.from({ length: 12 }, (_, number) => `T-${number}`);
  for (const ticket of tickets) {
    await start(slad, ticket);
  }
  await slad.clock.advanceBy(2 * HOUR);
  let running = 0;
  let most = 0;
  let inside = 0;
  const order = new Map<string, number[]>();
  consume(
    t,
    slad.client,
    {
      onAny: async (_, { event }) => {
        running += 1;
        most = Math.max(most, running);
        await new Promise((resolve) => setTimeout(resolve, 2));
        order.set(event.ticket_id, [...(order.get(event.ticket_id) ?? []), event.sequence]);
        running -= 1;
        inside += 1;
      },
    },
    { concurrency: 3, maxPending: 5 },
  );
  await until(async () => (await acknowledged(slad)) === 12 * 7, "all are acknowledged");
  assert.equal(most, 3);
  assert.equal(inside, 12 * 7);
  for (const sequences of order.values()) {
    assert.deepEqual(
      sequences,
      [...sequences].sort((a, b) => a - b),
    );
  }
});

test("of replicas one is served and the other stands by, and takes over where the first left off", async (t) => {
  const slad = await daemon(t);
  const done: string[] = [];
  const replica = (name: string) => {
    const client = new SladClient({ address: slad.address, timeoutMs: PATIENCE_MS });
    t.after(() => client.close());
    return consume(t, client, { onAny: ({ ticketId }) => done.push(`${name} ${ticketId}`) });
  };
  const first = replica("first");
  await start(slad, "A");
  await until(() => first.consumer.state === "live", "the first is live");
  const second = replica("second");
  await until(() => second.consumer.state === "waiting", "the second stands by");
  await start(slad, "B");
  await until(async () => (await acknowledged(slad)) === 2, "both are acknowledged");
  assert.equal(second.consumer.state, "waiting");
  await first.stop();
  assert.equal(first.consumer.state, "stopped");
  await start(slad, "C");
  await until(() => done.length === 3, "the second has taken over");
  assert.deepEqual(done, ["first A", "first B", "second C"]);
});

test("a stop waits for handlers, acknowledges what they have done, and begins nothing new", async (t) => {
  const slad = await daemon(t);
  await start(slad, "A");
  await start(slad, "B");
  const begun: string[] = [];
  let release = () => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  const { stop } = consume(
    t,
    slad.client,
    {
      onAny: async ({ ticketId }) => {
        begun.push(ticketId);
        await held;
      },
    },
    { concurrency: 1 },
  );
  await until(() => begun.length === 1, "the first is being dealt with");
  const stopped = stop();
  release();
  await stopped;
  assert.deepEqual(begun, ["A"]);
  assert.equal(await acknowledged(slad), 1);
});

test("a consumer goes over restarts of the daemon", async (t) => {
  const slad = await daemon(t);
  const done: string[] = [];
  consume(t, slad.client, { onAny: ({ ticketId }) => done.push(ticketId) });
  await start(slad, "A");
  await until(async () => (await acknowledged(slad)) === 1, "the first is acknowledged");
  await slad.stop("SIGKILL");
  await slad.start(new Date(MONDAY_9.getTime() + MINUTE));
  await start(slad, "B");
  await until(async () => (await acknowledged(slad)) === 2, "the second is acknowledged");
  assert.deepEqual(done, ["A", "B"]);
});
