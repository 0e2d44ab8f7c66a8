/**
 * A co-managed ticket: the customer's clocks of the MSP, and beside them the obligation of the client's own team.
 * Plays two days against a daemon under the virtual clock, and prints what each organisation was told, what counted
 * for it, and the verdicts. The daemon's address is the first argument.
 *
 * The obligation belongs to another organisation, which is another tenant, so it is a tracking of its own. It begins
 * at the escalation, counts by that organisation's hours, waits for several reasons at once, is handed back and
 * escalated again, and its resolution invents no response. How long each organisation holds the ticket is a named
 * clock of the customer's tracking.
 */

import { SladClient, SladTestClock } from "@slad/client";
import { OFFICE_HOURS, TENANT, ZONE } from "./desk.mjs";

const [address = "127.0.0.1:7523"] = process.argv.slice(2);
const client = new SladClient({ address });
const clock = new SladTestClock({ address });

const BANK = "bank-it";
const TICKET = { tenant_id: TENANT, ticket_id: "T-7" };
const OBLIGATION = { tenant_id: BANK, ticket_id: "T-7:obligation-1" };

/** Monday to Friday 09:00 to 17:30 in London: 10:00 to 18:30 in Berlin. */
const BANK_HOURS = {
  schedule_id: "bank-office",
  timezone: "Europe/London",
  entries: [1, 2, 3, 4, 5].map((day) => ({
    day_of_week: day,
    start_time: "09:00",
    end_time: "17:30",
    is_enabled: true,
  })),
};

const reason = (code) => ({ reason: "SLA_PAUSE_REASON_OTHER", reason_code: code });
const AWAITING_CLIENT = { reason: "SLA_PAUSE_REASON_AWAITING_CLIENT" };

/** An instant of Berlin, in winter time. */
const at = (day, time) => new Date(`2026-03-${day}T${time}:00+01:00`);

const STORY = [
  [
    at(26, "08:00"),
    "opened",
    () =>
      client.startSlaTracking({
        ...TICKET,
        targets: [{ response_time_minutes: 60, resolution_time_minutes: 960 }],
        schedule: OFFICE_HOURS,
        clocks: [{ name: BANK, kind: "SLA_CLOCK_KIND_OWNERSHIP", target_minutes: 480, owner: BANK }],
      }),
  ],
  [at(26, "08:30"), "answered", () => message("SLA_MESSAGE_SENDER_AGENT")],
  [
    at(26, "09:05"),
    "escalated to the bank at 09:00; slad hears of it five minutes later",
    async () => {
      const escalated = at(26, "09:00");
      await client.startSlaTracking({
        ...OBLIGATION,
        targets: [{ response_time_minutes: 300, resolution_time_minutes: 480 }],
        schedule: BANK_HOURS,
        started_at: escalated,
        response_on_resolution: "SLA_RESPONSE_ON_RESOLUTION_UNJUDGED",
      });
      await client.assignSla({ ...TICKET, owner: BANK, effective_at: escalated });
    },
  ],
  [at(26, "11:00"), "the bank asks its user", () => client.pauseSla({ ...OBLIGATION, ...AWAITING_CLIENT })],
  [
    at(26, "11:30"),
    "and has a change freeze",
    () => client.pauseSla({ ...OBLIGATION, ...reason("change-freeze") }),
  ],
  [
    at(26, "12:30"),
    "the user answers; the freeze holds on",
    () => client.resumeSla({ ...OBLIGATION, ...AWAITING_CLIENT }),
  ],
  [
    at(26, "13:00"),
    "the freeze is over",
    () => client.resumeSla({ ...OBLIGATION, ...reason("change-freeze") }),
  ],
  [at(26, "14:00"), "handed back to the MSP", () => handOver(TENANT)],
  [at(26, "16:00"), "escalated again", () => handOver(BANK)],
  [
    at(27, "10:20"),
    "the bank has done its part, without a word before",
    async () => {
      await client.completeSla({ ...OBLIGATION, phase: "SLA_PHASE_RESOLUTION" });
      await client.assignSla({ ...TICKET, owner: TENANT });
    },
  ],
  [at(27, "11:00"), "resolved", () => client.completeSla({ ...TICKET, phase: "SLA_PHASE_RESOLUTION" })],
];

function message(sender) {
  return client.recordSlaMessage({ ...TICKET, sender });
}

/** The other organisation has the ticket: its clocks run, and those of the first one wait. */
async function handOver(organisation) {
  await client.assignSla({ ...TICKET, owner: organisation });
  const handedBack = { ...OBLIGATION, ...reason("handed-back") };
  await (organisation === BANK ? client.resumeSla(handedBack) : client.pauseSla(handedBack));
}

const stamp = new Intl.DateTimeFormat("en-GB", {
  timeZone: ZONE,
  weekday: "short",
  hour: "2-digit",
  minute: "2-digit",
});
const told = (instant) => stamp.format(instant).replace(",", "");
const word = (name, prefix) => name.replace(prefix, "").toLowerCase().replaceAll("_", " ");
const minutes = (ms) => `${Math.floor(ms / 3_600_000)} h ${String((ms / 60_000) % 60).padStart(2, "0")}`;
const span = ({ seconds }) => minutes(seconds * 1_000);

/** What counted for a clock, and what did not and why. */
function sums(segments) {
  const found = new Map();
  for (const { from_time, to_time, cause } of segments) {
    const key = cause || "counted";
    found.set(key, (found.get(key) ?? 0) + (to_time - from_time));
  }
  return [...found].map(([cause, ms]) => `${cause} ${minutes(ms)}`).join(", ");
}

function verdict({ completed_at, met }) {
  return completed_at ? (met ? "met" : "missed") : "no verdict";
}

async function report(title, ticket) {
  const { status, events } = await client.getSlaTimeline(ticket);
  console.log(title);
  for (const { occurred_at, type, clock: name, cycle, threshold, met, owner, pause_reason_code } of events) {
    const about = [
      name && `${name} ${cycle}`,
      threshold && `${threshold.percent} %`,
      owner,
      pause_reason_code,
    ];
    const how = met === undefined ? undefined : met ? "met" : "missed";
    const line = [...about, how].filter(Boolean).join(", ");
    console.log(`  ${told(occurred_at)}  ${word(type, "SLA_EVENT_TYPE_")}${line && `: ${line}`}`);
  }
  for (const name of ["response", "resolution"]) {
    const { segments } = await client.getSlaTimeline({ ...ticket, clock: name });
    const { target, elapsed } = status[name];
    console.log(`  ${name}: ${span(elapsed)} of ${span(target)}, ${verdict(status[name])}`);
    console.log(`    ${sums(segments)}`);
  }
  for (const { name, cycles_closed, cycles_met, cycles_missed, kind } of status.clocks) {
    if (kind === "SLA_CLOCK_KIND_OWNERSHIP") {
      const { segments } = await client.getSlaTimeline({ ...ticket, clock: name });
      console.log(`  ${name}: ${cycles_closed} cycles, ${cycles_met} met, ${cycles_missed} missed`);
      console.log(`    ${sums(segments)}`);
    }
  }
}

try {
  console.log("What happens");
  for (const [instant, text, happen] of STORY) {
    await clock.advanceTo(instant);
    await happen();
    console.log(`  ${told(instant)}  ${text}`);
  }
  await report("The MSP, of T-7", TICKET);
  await report("The bank, of T-7:obligation-1", OBLIGATION);
} finally {
  client.close();
  clock.close();
}
