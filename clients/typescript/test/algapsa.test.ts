/** SladSlaBackend against the daemon, as AlgaPSA's services call it. */

import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import {
  FailedPrecondition,
  type IBusinessHoursScheduleWithEntries,
  InvalidArgument,
  type ISlaPolicyTarget,
  type OpenTicket,
  SladSlaBackend,
  type SladSlaBackendOptions,
  type SlaWarning,
  slaTrackingImport,
  slaTrackingImports,
  Unavailable,
} from "../src/index.js";
import { type Daemon, daemon, HOUR, MINUTE, MONDAY_9 } from "./daemon.js";

/** As it comes out of AlgaPSA's database: columns that slad has no use for, a closed weekend, no holidays. */
const SCHEDULE = {
  tenant: "acme",
  schedule_id: "office",
  schedule_name: "Office",
  timezone: "UTC",
  is_default: true,
  is_24x7: false,
  created_at: "2026-01-01T00:00:00Z",
  entries: [0, 1, 2, 3, 4, 5, 6].map((day_of_week) => {
    const is_enabled = day_of_week >= 1 && day_of_week <= 5;
    return {
      tenant: "acme",
      entry_id: `e${day_of_week}`,
      schedule_id: "office",
      day_of_week,
      start_time: is_enabled ? "09:00:00" : "00:00",
      end_time: is_enabled ? "17:00:00" : "00:00",
      is_enabled,
    };
  }),
} satisfies IBusinessHoursScheduleWithEntries & Record<string, unknown>;

function target(response: number | null, resolution: number | null): ISlaPolicyTarget {
  return {
    tenant: "acme",
    target_id: "t1",
    sla_policy_id: "gold",
    priority_id: "high",
    response_time_minutes: response,
    resolution_time_minutes: resolution,
    escalation_1_percent: 70,
    escalation_2_percent: 0,
    escalation_3_percent: 0,
    is_24x7: false,
  };
}

async function backend(
  context: TestContext,
  options: SladSlaBackendOptions = {},
): Promise<{ slad: Daemon; sla: SladSlaBackend; warnings: SlaWarning[] }> {
  const slad = await daemon(context);
  const warnings: SlaWarning[] = [];
  const onWarning = (warning: SlaWarning) => warnings.push(warning);
  const sla = new SladSlaBackend({ client: slad.client, timeoutMs: 30_000, onWarning, ...options });
  context.after(() => sla.close());
  return { slad, sla, warnings };
}

/** A test that holds for calls, and for commands that go through a pipeline. */
function both(name: string, body: (context: TestContext, options: SladSlaBackendOptions) => Promise<void>) {
  test(name, (t) => body(t, {}));
  test(`${name}, through a pipeline`, (t) => body(t, { pipeline: true }));
}

/** The refusal's field and reason. */
async function refused(call: Promise<unknown>): Promise<[string, string]> {
  try {
    await call;
  } catch (error) {
    assert.ok(error instanceof InvalidArgument, String(error));
    assert.match(error.message, new RegExp(error.field.replace(/[[\].]/g, "\\$&")));
    return [error.field, error.reason];
  }
  throw new Error("it was not refused");
}

both("the life of a ticket", async (t, options) => {
  const { slad, sla } = await backend(t, options);
  assert.equal(await sla.getSlaStatus("T-1"), null, "of an unknown ticket");
  await sla.startSlaTracking("T-1", "gold", [target(60, 480)], SCHEDULE, [50]);
  assert.deepEqual(await sla.getSlaStatus("T-1"), {
    status: "on_track",
    response_remaining_minutes: 60,
    resolution_remaining_minutes: 480,
    is_paused: false,
    total_pause_minutes: 0,
  });
  await slad.clock.advanceBy(50 * MINUTE);
  assert.equal((await sla.getSlaStatus("T-1"))?.status, "at_risk");
  await sla.pauseSla("T-1", "awaiting_client");
  await sla.pauseSla("T-1", "status_pause");
  await slad.clock.advanceBy(30 * MINUTE);
  assert.deepEqual(await sla.getSlaStatus("T-1"), {
    status: "paused",
    response_remaining_minutes: 10,
    resolution_remaining_minutes: 430,
    is_paused: true,
    pause_reason: "awaiting_client",
    total_pause_minutes: 30,
  });
  await sla.resumeSla("T-1");
  await sla.resumeSla("T-1");
  await slad.clock.advanceBy(20 * MINUTE);
  assert.equal((await sla.getSlaStatus("T-1"))?.status, "response_breached");
  await sla.completeSla("T-1", "response", false);
  assert.equal((await sla.getSlaStatus("T-1"))?.response_remaining_minutes, undefined);
  await sla.completeSla("T-1", "resolution", true);
  await sla.completeSla("T-1", "resolution", true);
  const status = await slad.client.getSlaStatus({ ticket_id: "T-1" });
  assert.equal(status.state, "SLA_TRACKING_STATE_COMPLETED");
  assert.equal(status.response?.met, false);
  assert.equal(status.resolution?.met, true);
  assert.equal(status.priority_id, "high");
  assert.deepEqual(
    status.resolution?.thresholds.map((t) => [t.percent, t.notification, t.escalation_level]),
    [
      [50, true, 0],
      [70, false, 1],
      [100, true, 0],
    ],
  );
});

test("a start is idempotent", async (t) => {
  const { slad, sla } = await backend(t);
  await sla.startSlaTracking("T-1", "gold", [target(60, null)], SCHEDULE);
  await slad.clock.advanceBy(20 * MINUTE);
  await sla.startSlaTracking("T-1", "gold", [target(60, null)], SCHEDULE);
  const status = await slad.client.getSlaStatus({ ticket_id: "T-1" });
  assert.equal(status.generation, 1);
  assert.equal(status.response_remaining_minutes, 40);
  assert.equal(status.resolution, undefined, "null is no target");
});

test("a target of 0 minutes is none, as in AlgaPSA", async (t) => {
  const { slad, sla } = await backend(t);
  await sla.startSlaTracking("T-1", "gold", [target(0, 60)], SCHEDULE);
  const status = await slad.client.getSlaStatus({ ticket_id: "T-1" });
  assert.equal(status.response, undefined);
  assert.equal(status.resolution_remaining_minutes, 60);
});

both(
  "of a ticket that is not tracked nothing changes, which is told once; ended ones reject",
  async (t, options) => {
    const { sla, warnings } = await backend(t, options);
    await sla.pauseSla("T-0", "status_pause");
    await sla.resumeSla("T-0");
    await sla.completeSla("T-00", "response", true);
    await sla.cancelSla("acme", "T-00");
    assert.deepEqual(
      warnings.map(({ ticketId, field }) => [ticketId, field]),
      [["T-0", "ticket_id"]],
    );
    await sla.startSlaTracking("T-1", "gold", [target(60, 480)], SCHEDULE);
    await sla.completeSla("T-1", "resolution", null);
    for (const call of [() => sla.pauseSla("T-1", "status_pause"), () => sla.resumeSla("T-1")]) {
      await assert.rejects(call(), (error) => {
        assert.ok(error instanceof FailedPrecondition);
        assert.equal(error.reason, "TRACKING_COMPLETED");
        assert.match(error.metadata.ended_at ?? "", /^2026-03-02T09:00:00/);
        return true;
      });
    }
    await sla.startSlaTracking("T-2", "gold", [target(60, 480)], SCHEDULE);
    await sla.cancelSla("acme", "T-2");
    await sla.cancelSla("acme", "T-2");
    assert.equal(await sla.getSlaStatus("T-2"), null);
    // A response is kept for the case that the ticket is continued (M4); a resolution is refused.
    await sla.completeSla("T-2", "response", true);
    assert.equal(await sla.getSlaStatus("T-2"), null);
    await assert.rejects(
      sla.completeSla("T-2", "resolution", true),
      (error) => error instanceof FailedPrecondition && error.reason === "TRACKING_CANCELLED",
    );
  },
);

both(
  "a policy change by cancel and start goes on with the clock, a start much later begins afresh",
  async (t, options) => {
    const { slad, sla } = await backend(t, options);
    for (const ticket of ["changed", "closed"]) {
      await sla.startSlaTracking(ticket, "gold", [target(60, 240)], SCHEDULE);
    }
    await slad.clock.advanceBy(40 * MINUTE);
    for (const ticket of ["changed", "closed"]) {
      await sla.cancelSla("acme", ticket);
    }
    await slad.clock.advanceBy(10 * MINUTE);
    await sla.startSlaTracking("changed", "silver", [target(120, 480)], SCHEDULE);
    const changed = await slad.client.getSlaStatus({ ticket_id: "changed" });
    await slad.clock.advanceBy(1);
    await sla.startSlaTracking("closed", "silver", [target(120, 480)], SCHEDULE);
    assert.equal(changed.policy_id, "silver");
    assert.equal(changed.generation, 2);
    assert.deepEqual(changed.started_at, MONDAY_9);
    assert.equal(changed.response_remaining_minutes, 70, "120 less the 50 since the first start");
    const closed = await slad.client.getSlaStatus({ ticket_id: "closed" });
    assert.equal(closed.response_remaining_minutes, 120, "ten minutes and a millisecond are too long ago");
  },
);

test("the window of a policy change can be set", async (t) => {
  const { slad, sla } = await backend(t, { continueWithinMs: 0 });
  await sla.startSlaTracking("T-1", "gold", [target(60, 240)], SCHEDULE);
  await slad.clock.advanceBy(40 * MINUTE);
  await sla.cancelSla("acme", "T-1");
  await slad.clock.advanceBy(1);
  await sla.startSlaTracking("T-1", "gold", [target(60, 240)], SCHEDULE);
  assert.equal((await sla.getSlaStatus("T-1"))?.response_remaining_minutes, 60);
  assert.throws(() => new SladSlaBackend({ continueWithinMs: 1.5 }), InvalidArgument);
});

test("a closed ticket whose policy changes gets no live clock, and no event", async (t) => {
  for (const options of [{}, { continueWithinMs: 0 }, { startedAt: () => MONDAY_9 }]) {
    const { slad, sla } = await backend(t, options);
    await sla.startSlaTracking("T-1", "gold", [target(60, 480)], SCHEDULE, [50]);
    await slad.clock.advanceBy(10 * MINUTE);
    await sla.completeSla("T-1", "response", true);
    await sla.completeSla("T-1", "resolution", true);
    const { events } = await slad.client.getSlaTimeline({ ticket_id: "T-1" });
    await slad.clock.advanceBy(10 * MINUTE);
    await assert.rejects(
      sla.cancelSla("acme", "T-1"),
      (error) => error instanceof FailedPrecondition && error.reason === "TRACKING_COMPLETED",
    );
    await sla.startSlaTracking("T-1", "silver", [target(30, 240)], SCHEDULE);
    await slad.clock.advanceBy(48 * HOUR);
    const after = await slad.client.getSlaTimeline({ ticket_id: "T-1" });
    assert.deepEqual(
      [after.status.state, after.status.generation, after.status.policy_id],
      ["SLA_TRACKING_STATE_COMPLETED", 1, "gold"],
    );
    assert.deepEqual(after.events, events);
  }
});

test("a change of priority keeps the thresholds, one of policy has slad's own", async (t) => {
  const { slad, sla } = await backend(t);
  for (const ticket of ["priority", "policy"]) {
    await sla.startSlaTracking(ticket, "gold", [target(60, null)], SCHEDULE, [60, 80]);
  }
  await slad.clock.advanceBy(40 * MINUTE);
  for (const [ticket, policy] of [
    ["priority", "gold"],
    ["policy", "silver"],
  ] as const) {
    await sla.cancelSla("acme", ticket);
    await sla.startSlaTracking(ticket, policy, [target(60, null)], SCHEDULE);
  }
  const told = async (ticket_id: string) => {
    const { events } = await slad.client.getSlaTimeline({ ticket_id });
    return events
      .filter(({ threshold }) => threshold?.notification)
      .map(({ type, threshold }) => `${type.slice(15)} ${threshold?.percent}`);
  };
  assert.deepEqual(await told("priority"), [], "of 60 % people know, and nothing is taken back");
  const { response } = await slad.client.getSlaStatus({ ticket_id: "priority" });
  assert.deepEqual(
    response?.thresholds.map(({ percent, notification }) => [percent, notification]),
    [
      [60, true],
      [70, false],
      [80, true],
      [100, true],
    ],
  );
  const changed = await slad.client.getSlaStatus({ ticket_id: "policy" });
  assert.deepEqual(
    changed.response?.thresholds.map(({ percent }) => percent),
    [50, 70, 75, 90, 100],
  );
});

test("a start that says no thresholds has those of the policy, if they can be asked for", async (t) => {
  const { slad, sla, warnings } = await backend(t, {
    notificationThresholds: async (tenantId, policyId) => {
      if (policyId === "broken") {
        throw new Error("the database is away");
      }
      return tenantId === "acme" && policyId === "silver" ? [0, 30] : null;
    },
  });
  const percents = async (ticket: string, policy: string, given?: number[]) => {
    await sla.startSlaTracking(ticket, policy, [target(60, null)], SCHEDULE, given);
    const { response } = await slad.client.getSlaStatus({ ticket_id: ticket });
    return response?.thresholds.filter(({ notification }) => notification).map(({ percent }) => percent);
  };
  assert.deepEqual(await percents("T-1", "silver"), [30, 100]);
  assert.deepEqual(await percents("T-2", "silver", [40]), [40, 100]);
  assert.deepEqual(await percents("T-3", "gold"), [50, 75, 90, 100]);
  assert.deepEqual(await percents("T-4", "broken"), [50, 75, 90, 100]);
  assert.deepEqual(
    warnings.map(({ ticketId, policyId, field }) => [ticketId, policyId, field]),
    [
      ["T-1", "silver", "notification_thresholds[0]"],
      ["T-4", "broken", "notification_thresholds"],
    ],
  );
});

test("the named clocks of a policy are part of every start, so a change of policy keeps them", async (t) => {
  const clock = { name: "next-reply", kind: "SLA_CLOCK_KIND_NEXT_REPLY", target_minutes: 60 } as const;
  const { slad, sla, warnings } = await backend(t, {
    clocks: async (tenantId, policyId) => {
      if (policyId === "broken") {
        throw new Error("the database is away");
      }
      return tenantId === "acme" && policyId !== "bronze" ? [clock] : null;
    },
  });
  const names = async (ticket: string) => {
    const { clocks } = await slad.client.getSlaStatus({ ticket_id: ticket });
    return clocks.map(({ name, cycle }) => `${name} ${cycle}`);
  };
  await sla.startSlaTracking("T-1", "gold", [target(60, 480)], SCHEDULE);
  for (const sender of ["AGENT", "CUSTOMER"] as const) {
    await slad.client.recordSlaMessage({ ticket_id: "T-1", sender: `SLA_MESSAGE_SENDER_${sender}` });
  }
  await sla.cancelSla("acme", "T-1");
  await sla.startSlaTracking("T-1", "silver", [target(90, 480)], SCHEDULE);
  assert.deepEqual(await names("T-1"), ["response 1", "resolution 1", "next-reply 1"]);
  await sla.startSlaTracking("T-2", "bronze", [target(60, null)], SCHEDULE);
  await sla.startSlaTracking("T-3", "broken", [target(60, null)], SCHEDULE);
  assert.deepEqual([await names("T-2"), await names("T-3")], [[], []]);
  assert.deepEqual(
    warnings.map(({ ticketId, field }) => [ticketId, field]),
    [["T-3", "clocks"]],
  );
});

test("the tenant comes from the schedule, a target, or the resolver", async (t) => {
  const asked: string[] = [];
  const { slad, sla } = await backend(t, {
    resolveTenant: async (ticketId) => {
      asked.push(ticketId);
      return ticketId.startsWith("B") ? "beta" : "acme";
    },
  });
  const { tenant: _, ...anonymous } = SCHEDULE;
  const { tenant: __, ...nameless } = target(60, null);
  await sla.startSlaTracking("A-1", "gold", [nameless], SCHEDULE);
  await sla.startSlaTracking("A-2", "gold", [target(60, null)], anonymous);
  assert.deepEqual(asked, []);
  await sla.startSlaTracking("B-1", "gold", [nameless], anonymous);
  assert.deepEqual(asked, ["B-1"]);
  const tenants: Record<string, string> = {};
  for await (const { ticket_id, tenant_id } of slad.client.listSlaTrackings()) {
    tenants[ticket_id] = tenant_id;
  }
  assert.deepEqual(tenants, { "A-1": "acme", "A-2": "acme", "B-1": "beta" });
  await sla.pauseSla("B-1", "status_pause");
  assert.deepEqual(asked, ["B-1", "B-1"]);
  const unresolved = new SladSlaBackend({ client: slad.client });
  assert.deepEqual(await refused(unresolved.startSlaTracking("T", "p", [nameless], anonymous)), [
    "schedule.tenant",
    "REQUIRED",
  ]);
  assert.deepEqual(
    await refused(unresolved.startSlaTracking("T", "p", [{ ...nameless, tenant: "beta" }], SCHEDULE)),
    ["targets[0].tenant", "OTHER_TENANT"],
  );
});

test("pauses by the wall clock are asked for start by start", async (t) => {
  const { slad, sla } = await backend(t, {
    pauseAccounting: ({ policyId, tenantId, ticketId }) =>
      policyId === "legacy" && tenantId === "acme" && ticketId === "old"
        ? "PAUSE_ACCOUNTING_ALGA_WALL_CLOCK"
        : "PAUSE_ACCOUNTING_BUSINESS_TIME",
  });
  await sla.startSlaTracking("old", "legacy", [target(null, 600)], SCHEDULE);
  await sla.startSlaTracking("new", "gold", [target(null, 600)], SCHEDULE);
  await slad.clock.advanceBy(7 * HOUR);
  for (const ticket of ["old", "new"]) {
    await sla.pauseSla(ticket, "awaiting_client");
  }
  await slad.clock.advanceBy(18 * HOUR + 59_000);
  const due: Record<string, string | undefined> = {};
  for (const ticket of ["old", "new"]) {
    await sla.resumeSla(ticket);
    due[ticket] = (await slad.client.getSlaStatus({ ticket_id: ticket })).resolution?.due_at?.toISOString();
  }
  assert.deepEqual(due, { old: "2026-03-04T05:00:00.000Z", new: "2026-03-03T13:00:59.000Z" });
});

test("holidays of the database driver are the dates that were meant", async (t) => {
  const { slad, sla } = await backend(t);
  const holiday = (holiday_date: unknown) => ({
    ...SCHEDULE,
    holidays: [
      {
        holiday_id: "h",
        holiday_name: "Founders' Day",
        holiday_date: holiday_date as string,
        is_recurring: false,
      },
    ],
  });
  // Tuesday is one: as text, as the driver's midnight of this host, as a midnight in UTC.
  for (const [ticket, date] of [
    ["text", "2026-03-03"],
    ["iso", "2026-03-03T00:00:00.000Z"],
    ["local", new Date(2026, 2, 3)],
    ["utc", new Date(Date.UTC(2026, 2, 3))],
    ["json", new Date(Date.UTC(2026, 2, 3)).toISOString()],
  ] as const) {
    await sla.startSlaTracking(ticket, "gold", [target(null, 600)], holiday(date));
    const status = await slad.client.getSlaStatus({ ticket_id: ticket });
    assert.equal(status.resolution?.due_at?.toISOString(), "2026-03-04T11:00:00.000Z", ticket);
  }
});

test("a Date of a host elsewhere is read in the zone of the schedule, with a warning", async (t) => {
  const { slad, sla, warnings } = await backend(t);
  const holidays = (zone: string, ...dates: unknown[]) => ({
    ...SCHEDULE,
    timezone: zone,
    holidays: dates.map((holiday_date, n) => ({
      holiday_id: `h${n}`,
      holiday_name: "Day off",
      holiday_date: holiday_date as string,
      is_recurring: false,
    })),
  });
  const due = async (ticket: string, schedule: IBusinessHoursScheduleWithEntries) => {
    await sla.startSlaTracking(ticket, "gold", [target(null, 600)], schedule);
    const status = await slad.client.getSlaStatus({ ticket_id: ticket });
    return status.resolution?.due_at?.toISOString();
  };
  // Tuesday is off: a midnight of Kolkata, as a Date and as JSON has it.
  const elsewhere = new Date("2026-03-02T18:30:00Z");
  for (const date of [elsewhere, elsewhere.toISOString()]) {
    // In Kolkata 2.5 h of Monday are left, then comes Wednesday.
    const told = await due(`kolkata-${typeof date}`, holidays("Asia/Kolkata", date));
    assert.equal(told, "2026-03-04T11:00:00.000Z");
  }
  assert.equal(warnings.length, 0, "it is a midnight there");
  // Monday and Tuesday are off: 8 h of Wednesday, and 2 h of Thursday.
  assert.equal(await due("utc", holidays("UTC", elsewhere, "2026-03-03")), "2026-03-05T11:00:00.000Z");
  assert.deepEqual(
    warnings.map(({ ticketId, policyId, field }) => [ticketId, policyId, field]),
    [["utc", "gold", "schedule.holidays[0].holiday_date"]],
  );
  assert.match(warnings[0]?.problem ?? "", /2026-03-02T18:30:00.000Z .* taken for 2026-03-02/);
});

test("percents that slad cannot take are left out, with one warning for each policy", async (t) => {
  const { slad, sla, warnings } = await backend(t);
  const odd = { ...target(60, null), escalation_1_percent: 0.7, escalation_2_percent: -1 };
  const percents = [0, 50, 200.5, 1001, null as unknown as number, 120];
  for (const ticket of ["T-1", "T-2"]) {
    await sla.startSlaTracking(ticket, "gold", [odd], SCHEDULE, percents);
  }
  await sla.startSlaTracking("T-3", "silver", [target(60, null)], SCHEDULE, [0]);
  const thresholds = async (ticket_id: string) =>
    (await slad.client.getSlaStatus({ ticket_id })).response?.thresholds.map(({ percent }) => percent);
  assert.deepEqual(await thresholds("T-2"), [50, 100, 120]);
  assert.deepEqual(await thresholds("T-3"), [70, 100], "no default comes in for a list that was given");
  assert.deepEqual(
    warnings.map(({ ticketId, policyId, field }) => [ticketId, policyId, field]),
    [
      ["T-1", "gold", "targets[0].escalation_1_percent"],
      ["T-1", "gold", "targets[0].escalation_2_percent"],
      ["T-1", "gold", "notification_thresholds[0]"],
      ["T-1", "gold", "notification_thresholds[2]"],
      ["T-1", "gold", "notification_thresholds[3]"],
      ["T-1", "gold", "notification_thresholds[4]"],
      ["T-3", "silver", "notification_thresholds[0]"],
    ],
  );
});

test("a target without minutes is no tracking, and makes no noise later", async (t) => {
  const { slad, sla, warnings } = await backend(t);
  for (const ticket of ["T-1", "T-2"]) {
    await sla.startSlaTracking(ticket, "gold", [target(null, 0)], SCHEDULE, [50]);
  }
  assert.deepEqual(
    warnings.map(({ ticketId, policyId, field }) => [ticketId, policyId, field]),
    [["T-1", "gold", "targets"]],
  );
  warnings.length = 0;
  await sla.pauseSla("T-1", "status_pause");
  await sla.resumeSla("T-1");
  await sla.completeSla("T-1", "response", null);
  await sla.completeSla("T-1", "resolution", null);
  await sla.cancelSla("acme", "T-1");
  assert.equal(await sla.getSlaStatus("T-1"), null);
  assert.ok(warnings.length <= 1, JSON.stringify(warnings));
  for await (const tracking of slad.client.listSlaTrackings()) {
    assert.fail(`something was started: ${tracking.ticket_id}`);
  }
});

test("a start that comes late counts from where AlgaPSA's row says", async (t) => {
  const { slad, sla, warnings } = await backend(t, {
    startedAt: async (tenantId, ticketId) =>
      tenantId === "acme" && ticketId === "late" ? MONDAY_9 : ticketId === "none" ? null : undefined,
  });
  await slad.clock.advanceBy(10 * MINUTE);
  for (const ticket of ["late", "none", "unknown"]) {
    await sla.startSlaTracking(ticket, "gold", [target(60, null)], SCHEDULE);
  }
  assert.equal((await sla.getSlaStatus("late"))?.response_remaining_minutes, 50);
  assert.equal((await sla.getSlaStatus("none"))?.response_remaining_minutes, 60);
  assert.equal((await sla.getSlaStatus("unknown"))?.response_remaining_minutes, 60);
  assert.deepEqual(warnings, []);
});

test("a policy that is cleared and set again much later goes on with AlgaPSA's row", async (t) => {
  const { slad, sla } = await backend(t, { startedAt: () => MONDAY_9 });
  await sla.startSlaTracking("T-1", "gold", [target(120, null)], SCHEDULE, [50]);
  await slad.clock.advanceBy(70 * MINUTE);
  await sla.cancelSla("acme", "T-1");
  await slad.clock.advanceBy(30 * MINUTE);
  await sla.startSlaTracking("T-1", "gold", [target(120, null)], SCHEDULE, [50]);
  assert.equal((await sla.getSlaStatus("T-1"))?.response_remaining_minutes, 20);
  const { response } = await slad.client.getSlaStatus({ ticket_id: "T-1" });
  assert.deepEqual(
    response?.thresholds.map(({ percent, fired_at }) => [percent, fired_at?.toISOString()]),
    [
      [50, "2026-03-02T10:00:00.000Z"],
      [70, "2026-03-02T10:40:00.000Z"],
      [100, undefined],
    ],
    "nobody hears of 50 % again; 70 % came true at 10:24, while there was no policy",
  );
});

both(
  "a resolver that fails, or a start that it puts too far ahead, begins now with a warning",
  async (t, options) => {
    const answers: Record<string, () => unknown> = {
      throws: () => {
        throw new Error("the database is away");
      },
      text: () => "2026-03-02",
      ahead: () => new Date(MONDAY_9.getTime() + HOUR),
    };
    for (const [ticket, answer] of Object.entries(answers)) {
      const { sla, warnings } = await backend(t, { ...options, startedAt: answer as () => Date });
      await sla.startSlaTracking(ticket, "gold", [target(60, null)], SCHEDULE);
      assert.equal((await sla.getSlaStatus(ticket))?.response_remaining_minutes, 60, ticket);
      assert.deepEqual(
        warnings.map(({ ticketId, policyId, field }) => [ticketId, policyId, field]),
        [[ticket, "gold", "started_at"]],
      );
    }
  },
);

both("values that cannot be right are refused by their field, and nothing is started", async (t, options) => {
  const { slad, sla, warnings } = await backend(t, options);
  // biome-ignore lint/suspicious/noExplicitAny: this is JavaScript calling
  const js = sla as any;
  const start = (targets: unknown, schedule: unknown = SCHEDULE, thresholds?: unknown) =>
    refused(js.startSlaTracking("T-1", "gold", targets, schedule, thresholds));
  const good = target(60, 480);

  assert.deepEqual(await refused(js.startSlaTracking(null, "gold", [good], SCHEDULE)), [
    "ticket_id",
    "REQUIRED",
  ]);
  assert.deepEqual(await refused(js.startSlaTracking("", "gold", [good], SCHEDULE)), [
    "ticket_id",
    "REQUIRED",
  ]);
  assert.deepEqual(await refused(js.startSlaTracking(7, "gold", [good], SCHEDULE)), [
    "ticket_id",
    "WRONG_TYPE",
  ]);
  assert.deepEqual(await refused(js.startSlaTracking("T-1", null, [good], SCHEDULE)), [
    "policy_id",
    "REQUIRED",
  ]);
  assert.deepEqual(await start(undefined), ["targets", "REQUIRED"]);
  assert.deepEqual(await start({ ...good }), ["targets", "WRONG_TYPE"]);
  assert.deepEqual(await start([null]), ["targets[0]", "REQUIRED"]);
  for (const [minutes, reason] of [
    [Number.NaN, "NOT_AN_INTEGER"],
    [1.5, "NOT_AN_INTEGER"],
    [Number.POSITIVE_INFINITY, "NOT_AN_INTEGER"],
    [2 ** 60, "NOT_AN_INTEGER"],
    ["60", "WRONG_TYPE"],
    [-5, "NOT_POSITIVE"],
  ]) {
    assert.deepEqual(await start([{ ...good, response_time_minutes: minutes }]), [
      "targets[0].response_time_minutes",
      reason,
    ]);
  }
  assert.deepEqual(await start([{ ...good, is_24x7: "no" }]), ["targets[0].is_24x7", "WRONG_TYPE"]);
  assert.deepEqual(await start([good], null), ["schedule", "REQUIRED"]);
  assert.deepEqual(await start([good], { ...SCHEDULE, timezone: "Mars/Olympus" }), [
    "schedule.timezone",
    "UNKNOWN_TIME_ZONE",
  ]);
  assert.deepEqual(await start([good], { ...SCHEDULE, entries: "all" }), ["schedule.entries", "WRONG_TYPE"]);
  assert.deepEqual(await start([good], { ...SCHEDULE, entries: [...SCHEDULE.entries, null] }), [
    "schedule.entries[7]",
    "REQUIRED",
  ]);
  const bad = { ...SCHEDULE.entries[1], end_time: "25:00" };
  assert.deepEqual(await start([good], { ...SCHEDULE, entries: [bad] }), [
    "schedule.entries[0].end_time",
    "MALFORMED_TIME",
  ]);
  assert.deepEqual(await start([good], { ...SCHEDULE, holidays: [{ holiday_date: 20260303 }] }), [
    "schedule.holidays[0].holiday_date",
    "WRONG_TYPE",
  ]);
  assert.deepEqual(await start([good], SCHEDULE, "50"), ["notification_thresholds", "WRONG_TYPE"]);
  // A refused start is a ticket without an SLA: each field is told of, once for each policy.
  await start([good], null);
  const fields = warnings.map(({ field }) => field);
  assert.deepEqual(fields, [...new Set(fields)]);
  assert.ok(fields.includes("schedule.entries[0].end_time"));
  const zone = warnings.find(({ field }) => field === "schedule.timezone");
  assert.deepEqual([zone?.ticketId, zone?.policyId], ["T-1", "gold"]);

  assert.deepEqual(await refused(js.pauseSla("T-1")), ["reason", "REQUIRED"]);
  assert.deepEqual(await refused(js.pauseSla("T-1", "lunch")), ["reason", "UNKNOWN_ENUM_VALUE"]);
  assert.deepEqual(await refused(js.pauseSla(undefined, "status_pause")), ["ticket_id", "REQUIRED"]);
  assert.deepEqual(await refused(js.resumeSla({})), ["ticket_id", "WRONG_TYPE"]);
  assert.deepEqual(await refused(js.completeSla("T-1", "toString", true)), ["type", "UNKNOWN_ENUM_VALUE"]);
  assert.deepEqual(await refused(js.completeSla("T-1", "response", "yes")), ["met", "WRONG_TYPE"]);
  assert.deepEqual(await refused(js.cancelSla("T-1")), ["ticket_id", "REQUIRED"]);
  assert.deepEqual(await refused(js.cancelSla(null, "T-1")), ["tenant_id", "REQUIRED"]);
  assert.deepEqual(await refused(js.getSlaStatus(null)), ["ticket_id", "REQUIRED"]);

  for await (const tracking of slad.client.listSlaTrackings()) {
    assert.fail(`something was started: ${tracking.ticket_id}`);
  }
});

test("without a daemon a call fails within its time", async (t) => {
  const sla = new SladSlaBackend({ client: { address: "127.0.0.1:1" }, timeoutMs: 1_500 });
  t.after(() => sla.close());
  const begun = performance.now();
  await assert.rejects(sla.getSlaStatus("T-1"), Unavailable);
  assert.ok(performance.now() - begun < 5_000);
});

test("open tickets are moved over with their start, pauses and response, and nobody hears of what is past", async (t) => {
  const { slad, sla } = await backend(t);
  await slad.clock.advanceBy(4 * HOUR);
  const at = (minutes: number) => new Date(MONDAY_9.getTime() + minutes * MINUTE);
  const ticket = (ticketId: string, more: Partial<OpenTicket> = {}): OpenTicket => ({
    ticketId,
    policyId: "gold",
    targets: [target(60, 480)],
    schedule: SCHEDULE,
    notificationThresholds: [50],
    startedAt: MONDAY_9,
    ...more,
  });
  const rows = [
    await slaTrackingImport(ticket("answered", { responseAt: at(30), responseMet: true })),
    await slaTrackingImport(
      ticket("waiting", {
        pauses: [
          { pausedAt: at(10), resumedAt: at(20), reason: null },
          { pausedAt: at(100), resumedAt: null, reason: "awaiting_client" },
        ],
      }),
      { pauseAccounting: "PAUSE_ACCOUNTING_ALGA_WALL_CLOCK" },
    ),
  ];
  const imported = await slad.client.importSlaTrackings(rows);
  assert.deepEqual([imported.created, imported.rejected], [2, []]);
  assert.equal((await sla.getSlaStatus("answered"))?.resolution_remaining_minutes, 240);
  const waiting = await sla.getSlaStatus("waiting");
  assert.equal(waiting?.pause_reason, "awaiting_client");
  assert.equal(waiting?.total_pause_minutes, 150);
  const { pause_accounting, response } = await slad.client.getSlaStatus({ ticket_id: "waiting" });
  assert.equal(pause_accounting, "PAUSE_ACCOUNTING_ALGA_WALL_CLOCK");
  assert.deepEqual(response?.breached_at, at(70));
  for (const ticket_id of ["answered", "waiting"]) {
    const { events } = await slad.client.getSlaTimeline({ ticket_id });
    assert.equal(events[0]?.type, "SLA_EVENT_TYPE_STARTED");
    assert.deepEqual(
      events.filter(({ type }) => type.includes("THRESHOLD")),
      [],
    );
  }
  assert.deepEqual(
    (await slad.client.reconcileSlaTrackings({ tenant_id: "acme" }, () => rows)).differences,
    [],
  );
  assert.deepEqual(await refused(slaTrackingImport(ticket("x", { startedAt: "2026" as unknown as Date }))), [
    "startedAt",
    "WRONG_TYPE",
  ]);
  const warnings: SlaWarning[] = [];
  const listed = slaTrackingImports(
    [
      ticket("answered", { responseAt: at(30), responseMet: true, notificationThresholds: [0, 50] }),
      ticket("without", { targets: [target(null, null)] }),
      ticket("without too", { targets: [target(null, 0)] }),
    ],
    { onWarning: (warning) => warnings.push(warning) },
  );
  const ids = [];
  for await (const { start } of listed) {
    ids.push([start?.ticket_id, start?.notification_thresholds]);
  }
  assert.deepEqual(ids, [["answered", [50]]]);
  assert.deepEqual(
    warnings.map(({ ticketId, field }) => [ticketId, field]),
    [
      ["answered", "notification_thresholds[0]"],
      ["without", "targets"],
    ],
  );
  assert.deepEqual(await refused(slaTrackingImport(ticket("x", { targets: [target(null, 0)] }))), [
    "targets",
    "NO_TARGET",
  ]);
  const odd = [{ pausedAt: at(1), reason: "lunch" as "status_pause" }];
  assert.deepEqual(await refused(slaTrackingImport(ticket("x", { pauses: odd }))), [
    "reason",
    "UNKNOWN_ENUM_VALUE",
  ]);
});
