/** The code of docs/adopting-in-algapsa.md, against tables like AlgaPSA's and slad under the virtual clock. */

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, test } from "node:test";
import { destroyTenantConnection, getConnection } from "@alga-psa/db";
import { getEventBus } from "@alga-psa/event-bus";
import { SladSlaBackend, SladTestClock, SlaEventConsumer } from "@slad/client";
import { sladBackend } from "../packages/sla/src/slad/backend";
import { sladClient } from "../packages/sla/src/slad/client";
import { compareOpenTickets, importOpenTickets } from "../packages/sla/src/slad/compare";
import { parkingLot, slaEvents } from "../packages/sla/src/slad/consumer";
import { handlersWithDueDates, writeAllDueDates } from "../packages/sla/src/slad/dueDates";
import { handlers } from "../packages/sla/src/slad/handlers";
import { Desk, type DeskOptions, type Priority } from "./desk";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

const backend = sladBackend();
const client = sladClient();
/** The clock needs more rights than AlgaPSA has: it is moved over the Unix socket. */
const clock = new SladTestClock({ address: process.env.CLOCK_ADDRESS });

const stop = new AbortController();
let consuming: Promise<void>;

before(() => {
  consuming = slaEvents.run({ signal: stop.signal });
});

after(async () => {
  stop.abort();
  await consuming;
  clock.close();
  client.close();
  await destroyTenantConnection();
});

async function delivered(consumer = "algapsa"): Promise<void> {
  for (;;) {
    const own = (await client.listSlaConsumers()).find(({ consumer: name }) => name === consumer);
    if (own?.lag === 0) {
      return;
    }
    await Promise.race([consuming, new Promise((resolve) => setTimeout(resolve, 5))]);
  }
}

/** To the next Monday, 09:00 UTC. */
async function monday(): Promise<Date> {
  const now = await clock.now();
  const days = (8 - now.getUTCDay()) % 7 || 7;
  const next = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth(), now.getUTCDate() + days, 9));
  await clock.advanceTo(next);
  await delivered();
  return next;
}

async function pass(ms: number): Promise<void> {
  await clock.advanceBy(ms);
  await delivered();
}

const desk = (options?: DeskOptions) => Desk.of(backend, clock, options);
const toldOf = (ticketId: string) =>
  getEventBus()
    .handled.filter((event) => event.ticketId === ticketId)
    .map(({ phase, thresholdPercent }) => `${phase} ${thresholdPercent}`);
const dueOf = async (ticket_id: string) =>
  (await client.getSlaStatus({ ticket_id })).resolution?.due_at?.toISOString();
const parked = async () => (await slaEvents.parked()).map(({ event }) => event.ticket_id);

test("people are told, tickets are escalated and marked, and nothing is parked", async () => {
  await monday();
  const d = await desk();
  const ticket = await d.open("high");
  await pass(59 * MINUTE);
  assert.deepEqual(toldOf(ticket), ["response 60", "response 80"]);
  assert.equal((await d.row(ticket)).escalation_level, 2);
  await pass(7 * HOUR);
  const after = await d.row(ticket);
  assert.deepEqual(toldOf(ticket), [
    "response 60",
    "response 80",
    "response 100",
    "resolution 60",
    "resolution 80",
  ]);
  assert.equal(after.sla_response_met, false);
  assert.equal(after.sla_response_at, null, "a missed response is not a response");
  assert.equal(after.escalation_level, 3);
  assert.deepEqual(after.attributes, {
    sla_last_response_threshold_notified: 100,
    sla_last_resolution_threshold_notified: 80,
  });
  assert.deepEqual(await parked(), []);
});

test("a closed ticket stays closed when its policy changes", async () => {
  await monday();
  const d = await desk();
  const ticket = await d.open("high");
  await pass(10 * MINUTE);
  await d.respond(ticket);
  await d.close(ticket);
  await delivered();
  const { events: before } = await client.getSlaTimeline({ ticket_id: ticket });
  await d.changePolicy(ticket, "silver");
  assert.deepEqual(d.swallowed, ["cancelSla: TRACKING_COMPLETED"]);
  await pass(48 * HOUR);
  const status = await client.getSlaStatus({ ticket_id: ticket });
  assert.deepEqual([status.state, status.generation], ["SLA_TRACKING_STATE_COMPLETED", 1]);
  const { events } = await client.getSlaTimeline({ ticket_id: ticket });
  assert.deepEqual(events, before);
  assert.deepEqual(toldOf(ticket), []);
  assert.deepEqual((await compareOpenTickets(d.tenant, false)).differences, []);
});

test("events of deleted and closed tickets are acknowledged, and nobody hears of them", async () => {
  await monday();
  const d = await desk();
  const [deleted, closed] = [await d.open("high"), await d.open("high")];
  await delivered();
  // While Redis is away the events wait; meanwhile one ticket is deleted, one closed.
  getEventBus().away = true;
  await clock.advanceBy(50 * MINUTE);
  await d.delete(deleted);
  await d.close(closed);
  getEventBus().away = false;
  await delivered();
  assert.deepEqual([...toldOf(deleted), ...toldOf(closed)], []);
  assert.deepEqual(await parked(), []);
});

test("of a ticket that was closed without a word to its SLA, nobody hears", async () => {
  await monday();
  const d = await desk();
  const ticket = await d.open("high");
  const knex = await getConnection();
  await knex("tickets")
    .where({ ticket_id: ticket })
    .update({ closed_at: await clock.now() });
  await pass(10 * HOUR);
  const { sla_response_met, escalation_level } = await d.row(ticket);
  assert.deepEqual([toldOf(ticket), sla_response_met, escalation_level], [[], null, null]);
});

test("a breach of a named clock is not one of the response or the resolution", async () => {
  await monday();
  const clocks = [
    {
      name: "updates",
      kind: "SLA_CLOCK_KIND_PERIODIC_UPDATE",
      target_minutes: 30,
      escalation_1_percent: 50,
    },
  ] as const;
  const d = await Desk.of(new SladSlaBackend({ client, clocks: () => clocks }), clock);
  const ticket = await d.open("low");
  await pass(31 * MINUTE);
  const { sla_response_met, sla_resolution_met, escalation_level } = await d.row(ticket);
  assert.deepEqual([toldOf(ticket), sla_response_met, sla_resolution_met], [[], null, null]);
  assert.equal(escalation_level, null);
  assert.deepEqual(await parked(), []);
});

test("an escalation that PostgreSQL has given up is not taken for one that was made", async () => {
  await monday();
  const d = await desk();
  const knex = await getConnection();
  const [manager, agent] = [randomUUID(), randomUUID()];
  await knex("escalation_managers").insert({
    tenant: d.tenant,
    escalation_level: 1,
    manager_user_id: manager,
  });
  const ticket = await d.open("high");
  const facts = { tenantId: d.tenant, ticketId: ticket, phase: "response", thresholdPercent: 70 };
  // biome-ignore lint/suspicious/noExplicitAny: as far as the handler looks at it
  const escalate = () => handlers.onEscalation?.(facts as any, undefined as any);
  await assert.rejects(async () => escalate(), /transaction is aborted/);
  await knex("tickets").where({ ticket_id: ticket }).update({ assigned_to: agent });
  await escalate();
  assert.equal((await d.row(ticket)).escalation_level, 1);
  assert.equal((await knex("ticket_resources").where({ ticket_id: ticket })).length, 1);
});

test("a percent of 0 and a target without minutes cost a warning, and no SLA", async () => {
  await monday();
  const d = await desk({ thresholds: [0, 60, 200] });
  const [zero, none] = [await d.open("high"), await d.open("never")];
  await d.pause(none);
  await d.resume(none);
  await d.close(none);
  const { response } = await client.getSlaStatus({ ticket_id: zero });
  assert.deepEqual(
    response?.thresholds.filter(({ notification }) => notification).map(({ percent }) => percent),
    [60, 100, 200],
  );
  assert.equal(await backend.getSlaStatus(none), null);
  assert.deepEqual(d.swallowed, []);
  assert.deepEqual((await compareOpenTickets(d.tenant, true)).differences, []);
});

test("thresholds stay as they were when the priority changes", async () => {
  await monday();
  const d = await desk();
  const ticket = await d.open("high");
  await pass(40 * MINUTE);
  assert.deepEqual(toldOf(ticket), ["response 60"]);
  await d.changePriority(ticket, "low");
  const { response, started_at } = await client.getSlaStatus({ ticket_id: ticket });
  assert.deepEqual(
    response?.thresholds.filter(({ notification }) => notification).map(({ percent }) => percent),
    [60, 80, 100],
  );
  assert.deepEqual(started_at, (await d.row(ticket)).sla_started_at);
  assert.deepEqual((await compareOpenTickets(d.tenant, true)).differences, []);
});

test("a policy that is taken away for hours goes on with the row", async () => {
  const start = await monday();
  const d = await desk();
  const ticket = await d.open("low");
  await pass(30 * MINUTE);
  await d.changePolicy(ticket, null);
  await pass(90 * MINUTE);
  await d.changePolicy(ticket, "gold");
  const { started_at } = await client.getSlaStatus({ ticket_id: ticket });
  assert.deepEqual(started_at, start);
  assert.deepEqual((await compareOpenTickets(d.tenant, true)).differences, []);
});

test("a night after a busy day has no differences, and the next day what is missing is mended", async () => {
  await monday();
  const d = await desk();
  const tickets: string[] = [];
  for (const priority of ["high", "low", "high"] satisfies Priority[]) {
    tickets.push(await d.open(priority));
    await pass(7 * MINUTE);
  }
  const [first, second, third] = tickets as [string, string, string];
  await d.pause(first);
  await pass(12 * MINUTE);
  await d.resume(first);
  await d.respond(second);
  await d.pause(second);
  await pass(HOUR);
  await d.changePolicy(third, "silver");
  assert.deepEqual((await compareOpenTickets(d.tenant, true)).differences, []);
  // slad did not hear of a pause, and of an end.
  const knex = await getConnection();
  await knex("tickets")
    .where({ ticket_id: third })
    .update({ sla_paused_at: await clock.now() });
  await knex("tickets")
    .where({ ticket_id: first })
    .update({ sla_resolution_at: await clock.now() });
  const lost = (await compareOpenTickets(d.tenant, true)).differences;
  assert.deepEqual(new Set(lost.map(({ ticket_id }) => ticket_id)), new Set([first, third]));
  assert.equal((await backend.getSlaStatus(third))?.status, "paused");
  assert.equal(await backend.getSlaStatus(first), null);
});

test("open tickets are imported from the tables, with pauses, responses and holidays as dates", async () => {
  const start = await monday();
  const d = await desk({ timezone: "Europe/Berlin", holidays: [dayAfter(start, 1)] });
  const knex = await getConnection();
  // AlgaPSA's rows without slad: what was there before it.
  await knex("tickets").insert([
    row(d, "low", start, "a"),
    row(d, "high", start, "b"),
    row(d, "high", start, "c"),
  ]);
  const ids = await knex("tickets").where({ tenant: d.tenant }).select();
  const idOf = (mark: string) => ids.find(({ attributes }) => attributes.mark === mark).ticket_id;
  await clock.advanceTo(new Date(start.getTime() + 3 * HOUR));
  const at = (minutes: number) => new Date(start.getTime() + minutes * MINUTE);
  const line = (mark: string, event_type: string, event_data: object, created_at: Date) => ({
    tenant: d.tenant,
    ticket_id: idOf(mark),
    event_type,
    event_data,
    created_at,
  });
  await knex("sla_audit_log").insert([
    line("a", "sla_paused", { paused_at: at(10), reason: "status_pause" }, at(10)),
    line("a", "sla_resumed", { paused_at: at(10), resumed_at: at(40), reason: null }, at(40)),
    line("a", "sla_paused", { paused_at: at(100), reason: "awaiting_client" }, at(100)),
    line("b", "response_recorded", { met: false }, at(90)),
  ]);
  await knex("tickets")
    .where({ ticket_id: idOf("a") })
    .update({ sla_paused_at: at(100) });
  await knex("tickets")
    .where({ ticket_id: idOf("b") })
    .update({ sla_response_at: at(90), sla_response_met: false });
  // The old timer's mark of a breach.
  await knex("tickets")
    .where({ ticket_id: idOf("c") })
    .update({ sla_response_at: at(61), sla_response_met: false });

  const { created, rejected } = await importOpenTickets(d.tenant);
  assert.deepEqual([created, rejected], [3, []]);
  const status = async (mark: string) => client.getSlaStatus({ ticket_id: idOf(mark) });
  const a = await status("a");
  assert.deepEqual([a.is_paused, a.pause_reason], [true, "SLA_PAUSE_REASON_AWAITING_CLIENT"]);
  assert.equal(a.total_pause_minutes, 30 + 80);
  assert.deepEqual((await status("b")).response?.completed_at, at(90));
  assert.equal((await status("c")).response?.completed_at, undefined);
  await delivered();
  assert.deepEqual([...toldOf(idOf("a")), ...toldOf(idOf("b")), ...toldOf(idOf("c"))], []);
  assert.deepEqual((await compareOpenTickets(d.tenant, false)).differences, []);
  assert.deepEqual(await importOpenTickets(d.tenant).then(({ kept }) => kept), 3);
});

test("the two cases of the calendar", async () => {
  const start = await monday();
  const d = await desk({ holidays: [dayAfter(start, 4)] });
  const six = await d.open("six");
  assert.equal(await dueOf(six), at(start, 0, 15).toISOString());
  await clock.advanceTo(at(start, 3, 12));
  const friday = await d.open("six");
  // 5 h on Thursday, none on Friday, 1 h on Monday.
  assert.equal(await dueOf(friday), at(start, 7, 10).toISOString());
});

test("due dates and verdicts in the rows are slad's", async () => {
  const start = await monday();
  const d = await desk();
  const stopToo = new AbortController();
  const consumer = new SlaEventConsumer(client, { consumer: "due", handlers: handlersWithDueDates });
  const running = consumer.run({ signal: stopToo.signal });
  const ticket = await d.open("low");
  await writeAllDueDates(d.tenant);
  const due = async () => (await d.row(ticket)).sla_resolution_due_at.toISOString();
  assert.equal(await due(), at(start, 1, 11).toISOString());
  await clock.advanceTo(at(start, 0, 16));
  await d.pause(ticket);
  await clock.advanceTo(at(start, 1, 10));
  await d.resume(ticket);
  await delivered("due");
  assert.equal((await due()).slice(0, 16), at(start, 1, 13).toISOString().slice(0, 16));
  await clock.advanceTo(at(start, 1, 13.5));
  await d.close(ticket);
  await delivered("due");
  stopToo.abort();
  await running;
  const { sla_resolution_met } = await d.row(ticket);
  assert.equal(sla_resolution_met, false);
  assert.equal((await client.getSlaStatus({ ticket_id: ticket })).resolution?.met, false);
});

test("an event whose handler keeps failing is parked in the table, and can be tried again", async () => {
  await monday();
  const d = await desk();
  const ticket = await d.open("high");
  await delivered();
  const { events } = await client.getSlaTimeline({ ticket_id: ticket });
  const event = events[0];
  assert.ok(event);
  await parkingLot.put({
    event,
    error: "the database was away",
    attempts: 5,
    resolved: [],
    parkedAt: new Date(),
  });
  const [found] = await parkingLot.list();
  assert.equal(found?.event.event_id, event.event_id);
  assert.deepEqual(await parked(), [ticket]);
  assert.equal(await slaEvents.retryParked(), 1);
  assert.deepEqual(await parked(), []);
});

// --- helpers

function at(start: Date, days: number, hour: number): Date {
  const midnight = Date.UTC(start.getUTCFullYear(), start.getUTCMonth(), start.getUTCDate() + days);
  return new Date(midnight + hour * HOUR);
}

function dayAfter(start: Date, days: number): string {
  return at(start, days, 0).toISOString().slice(0, 10);
}

function row(d: Desk, priority: Priority, started: Date, mark: string) {
  return {
    tenant: d.tenant,
    priority_id: d.priorities[priority],
    sla_policy_id: d.policies.gold,
    sla_started_at: started,
    attributes: { mark },
  };
}
