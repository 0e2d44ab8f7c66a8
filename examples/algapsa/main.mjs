/**
 * Plays two weeks of a service desk against a daemon under the virtual clock, and prints who was notified of
 * what. The daemon's address is the first argument; its time must not be beyond the beginning of the story. With
 * `--handlers activities` AlgaPSA's Temporal activities are the handlers, to see why they cannot be.
 */

import {
  MemoryParkingLot,
  millisecondsOf,
  SladClient,
  SladSlaBackend,
  SladTestClock,
  SlaEventConsumer,
  slaTrackingImports,
} from "@slad/client";
import { Activities } from "./alga/activities.mjs";
import { Database } from "./alga/database.mjs";
import { EventBus, Mailbox } from "./alga/event-bus.mjs";
import { SlaService } from "./alga/sla-service.mjs";
import { TENANT, ZONE } from "./desk.mjs";
import { handlersOf } from "./handlers.mjs";
import { openTickets } from "./open-tickets.mjs";
import { BEGIN, END, story } from "./story.mjs";

const CONSUMER = "algapsa";
const TOLERANCE_MS = 2_000;

const [address = "127.0.0.1:7523", , handlersName = "page"] = process.argv.slice(2);
const client = new SladClient({ address });
const clock = new SladTestClock({ address });

const database = new Database();
const mailbox = new Mailbox();
const bus = new EventBus(database, mailbox);
const warnings = [];
const onWarning = (warning) => warnings.push(warning);
const psa = new SlaService(
  database,
  new SladSlaBackend({
    client,
    startedAt: (_tenantId, ticketId) => database.tickets.get(ticketId)?.sla_started_at,
    onWarning,
  }),
  async () => advanceTo(new Date(time.getTime() + 1 + ((psa.now.getTime() / 60_000) % 40))),
);

const verdicts = [];
const activities = new Activities(database, bus, mailbox);
const HANDLERS = {
  page: handlersOf({ client, database, bus, mailbox, verdicts }),
  activities: {
    onNotification: (facts) => activities.sendSlaNotification(facts),
    onEscalation: (facts) => activities.checkAndEscalate(facts),
    onAny: (entry) => activities.recordSlaAuditLog(entry),
  },
};

const parkingLot = new MemoryParkingLot();
let notifier;

/** What the desk itself does. */
const desk = {
  nights: 0,
  failed: 0,
  differences: [],
  async startNotifier() {
    const stop = new AbortController();
    const consumer = new SlaEventConsumer(client, {
      consumer: CONSUMER,
      handlers: HANDLERS[handlersName],
      parkingLot,
      retry: { attempts: 1 },
      ackIntervalMs: 1,
    });
    notifier = { stop, running: consumer.run({ signal: stop.signal }) };
  },
  async stopNotifier() {
    notifier.stop.abort();
    await notifier.running;
    notifier = undefined;
  },
  async reconcile() {
    desk.nights += 1;
    try {
      const { differences } = await client.reconcileSlaTrackings(
        { tenant_id: TENANT, apply: true, tolerance: TOLERANCE_MS },
        () => slaTrackingImports(openTickets(database), { onWarning }),
      );
      desk.differences.push(...differences);
    } catch {
      desk.failed += 1; // the list is wrong, and nothing is mended
    }
  },
};

/** What was promised for each month, by its due date. */
const MONTHS = [
  ["March", "2026-03-01T00:00:00+01:00", "2026-04-01T00:00:00+02:00"],
  ["April", "2026-04-01T00:00:00+02:00", "2026-05-01T00:00:00+02:00"],
];
const reports = [];

/** slad's time. */
let time = new Date(0);

/** Moves time, unless it is there already, and waits until all that fell due has been dealt with. */
async function advanceTo(instant) {
  if (instant > time) {
    time = instant;
    await clock.advanceTo(time);
  }
  await delivered();
}

async function delivered() {
  while (notifier) {
    const consumers = await client.listSlaConsumers();
    const own = consumers.find(({ consumer: name }) => name === CONSUMER);
    if (own?.lag === 0) {
      return;
    }
    await Promise.race([notifier.running, new Promise((resolve) => setTimeout(resolve, 1))]);
  }
}

const stamp = new Intl.DateTimeFormat("en-GB", {
  timeZone: ZONE,
  weekday: "short",
  day: "2-digit",
  month: "2-digit",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
});

try {
  await desk.startNotifier();
  await advanceTo(BEGIN);
  for (const { at, by, method, args } of story()) {
    await advanceTo(at);
    psa.now = at;
    await (by === "desk" ? desk : psa)[method](...args);
  }
  await advanceTo(END);
  for (const [month, from, to] of MONTHS) {
    const report = await client.reportSla({
      tenant_id: TENANT,
      from_time: new Date(from),
      to_time: new Date(to),
      timezone: ZONE,
      group_by: ["SLA_GROUP_KEY_CLOCK", "SLA_GROUP_KEY_POLICY"],
    });
    reports.push([month, report]);
  }
} finally {
  await desk.stopNotifier();
  client.close();
  clock.close();
}

// Tickets are dealt with side by side: what is of one instant comes in any order.
const byInstant = (a, b) => a.occurredAt - b.occurredAt || a.ticketId.localeCompare(b.ticketId);
for (const [person, inbox] of [...mailbox.inboxes].sort()) {
  inbox.sort(byInstant);
  console.log(`${person}: ${inbox.length} messages`);
  for (const { occurredAt, ticketId, text } of inbox) {
    console.log(`  ${stamp.format(occurredAt).replaceAll(",", "")}  ${ticketId}: ${text}`);
  }
}

const count = (phase, met) => verdicts.filter((v) => v.phase === phase && v.met === met).length;
console.log("Verdicts");
for (const phase of ["response", "resolution"]) {
  console.log(`  ${phase}: ${count(phase, true)} in time, ${count(phase, false)} missed`);
}
const otherwise = verdicts.filter(
  ({ ticketId, phase, met }) => database.tickets.get(ticketId)?.[`sla_${phase}_met`] !== met,
);
console.log(`  otherwise in AlgaPSA's rows: ${otherwise.length}`);

const percent = (rate) =>
  rate === undefined ? "no rate" : `${(Math.floor(rate * 1_000) / 10).toFixed(1)} %`;
for (const [month, { rows, total }] of reports) {
  console.log(`Attainment of ${month}`);
  for (const row of [...rows, total]) {
    const { met, missed, none, open_overdue, open_in_time, attainment, elapsed_p90 } = row;
    const open = `${open_overdue} overdue, ${open_in_time} open, ${none} without a verdict`;
    const p90 = elapsed_p90
      ? `, nine of ten within ${Math.round(millisecondsOf(elapsed_p90) / 60_000)} min`
      : "";
    const group = row.group.join(", ") || "all";
    console.log(`  ${group}: ${met} met, ${missed} missed, ${open}: ${percent(attainment)}${p90}`);
  }
}

console.log(`Parked events: ${(await parkingLot.list()).length}`);
console.log(`Nights: ${desk.nights}, failed: ${desk.failed}, differences: ${desk.differences.length}`);
for (const { ticket_id, field, psa_value, slad_value } of desk.differences) {
  console.log(`  ${ticket_id}, ${field}: ${psa_value} in AlgaPSA, ${slad_value} in slad`);
}
console.log("Warnings");
for (const { ticketId, policyId, field, problem } of warnings) {
  console.log(`  ${ticketId}, policy ${policyId || "unknown"}, ${field}: ${problem}`);
}
console.log("Refused, and swallowed by AlgaPSA's dispatcher");
for (const line of psa.swallowed) {
  console.log(`  ${line}`);
}
