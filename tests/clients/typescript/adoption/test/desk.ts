/**
 * A tenant of AlgaPSA: its policy and office hours, and what its services do to a ticket. Rows are written first, as
 * of then; slad hears of it some milliseconds later, and what it refuses is swallowed.
 */

import { randomUUID } from "node:crypto";
import { getConnection, tenantDb } from "@alga-psa/db";
import type { SladError, SladTestClock } from "@slad/client";
import type { Knex } from "knex";
import type { ISlaBackend } from "../packages/sla/src/services/backends/ISlaBackend";

// biome-ignore lint/suspicious/noExplicitAny: as in AlgaPSA
type Row = any;

export interface DeskOptions {
  thresholds?: number[];
  timezone?: string;
  /** YYYY-MM-DD. */
  holidays?: string[];
}

/** Minutes until response and resolution, by priority. */
const TARGETS = { high: [60, 480], low: [120, 600], never: [null, null], six: [null, 360] } as const;
export type Priority = keyof typeof TARGETS;

const LATENCY_MS = 23;

export class Desk {
  readonly tenant = randomUUID();
  readonly policies = { gold: randomUUID(), silver: randomUUID() };
  readonly schedule = randomUUID();
  readonly priorities = Object.fromEntries(
    Object.keys(TARGETS).map((name) => [name, randomUUID()]),
  ) as Record<Priority, string>;
  readonly swallowed: string[] = [];

  constructor(
    private readonly knex: Knex,
    private readonly backend: ISlaBackend,
    private readonly clock: SladTestClock,
  ) {}

  static async of(backend: ISlaBackend, clock: SladTestClock, options: DeskOptions = {}): Promise<Desk> {
    const desk = new Desk(await getConnection(), backend, clock);
    const { tenant, knex, schedule } = desk;
    const { thresholds = [60, 80, 100], timezone = "UTC", holidays = [] } = options;
    const of = { tenant, schedule_id: schedule };
    await knex("business_hours_schedules").insert({
      ...of,
      schedule_name: "Office",
      timezone,
      is_default: true,
    });
    await knex("business_hours_entries").insert(
      [1, 2, 3, 4, 5].map((day_of_week) => ({ ...of, day_of_week, start_time: "09:00", end_time: "17:00" })),
    );
    for (const holiday_date of holidays) {
      await knex("holidays").insert({ tenant, schedule_id: null, holiday_name: "Day off", holiday_date });
    }
    for (const [policy_name, sla_policy_id] of Object.entries(desk.policies)) {
      await knex("sla_policies").insert({ tenant, sla_policy_id, policy_name });
      for (const threshold_percent of thresholds) {
        await knex("sla_notification_thresholds").insert({ tenant, sla_policy_id, threshold_percent });
      }
      for (const [name, [response_time_minutes, resolution_time_minutes]] of Object.entries(TARGETS)) {
        const priority_id = desk.priorities[name as Priority];
        const minutes = { response_time_minutes, resolution_time_minutes };
        await knex("sla_policy_targets").insert({ tenant, sla_policy_id, priority_id, ...minutes });
      }
    }
    return desk;
  }

  async open(priority: Priority, started?: Date): Promise<string> {
    const ticket_id = randomUUID();
    const sla_started_at = started ?? (await this.clock.now());
    await this.knex("tickets").insert({
      tenant: this.tenant,
      ticket_id,
      priority_id: this.priorities[priority],
      sla_policy_id: this.policies.gold,
      sla_started_at,
    });
    await this.log(ticket_id, "sla_started", {});
    const rows = this.table("sla_notification_thresholds").where({ sla_policy_id: this.policies.gold });
    const thresholds = await rows.orderBy("threshold_percent").pluck("threshold_percent");
    await this.dispatch(await this.start(ticket_id, thresholds));
    return ticket_id;
  }

  async pause(ticket_id: string): Promise<void> {
    const now = await this.clock.now();
    await this.update(ticket_id, { sla_paused_at: now });
    await this.log(ticket_id, "sla_paused", { paused_at: now.toISOString(), reason: "awaiting_client" });
    await this.dispatch(["pauseSla", ticket_id, "awaiting_client"]);
  }

  async resume(ticket_id: string): Promise<void> {
    const now = await this.clock.now();
    const { sla_paused_at } = await this.row(ticket_id);
    await this.update(ticket_id, { sla_paused_at: null });
    const ends = { resumed_at: now.toISOString(), paused_at: sla_paused_at.toISOString() };
    await this.log(ticket_id, "sla_resumed", { ...ends, reason: null });
    await this.dispatch(["resumeSla", ticket_id]);
  }

  async respond(ticket_id: string): Promise<void> {
    const sla_response_at = await this.clock.now();
    const { sla_response_due_at: due } = await this.row(ticket_id);
    const met = due && sla_response_at <= due;
    await this.update(ticket_id, { sla_response_at, sla_response_met: met });
    await this.log(ticket_id, "response_recorded", { met });
    await this.dispatch(["completeSla", ticket_id, "response", met]);
  }

  async close(ticket_id: string): Promise<void> {
    const closed_at = await this.clock.now();
    const { sla_resolution_due_at: due } = await this.row(ticket_id);
    const met = due && closed_at <= due;
    await this.update(ticket_id, { closed_at, sla_resolution_at: closed_at, sla_resolution_met: met });
    await this.log(ticket_id, "resolution_recorded", { met });
    await this.dispatch(["completeSla", ticket_id, "resolution", met]);
  }

  async changePolicy(ticket_id: string, policy: "gold" | "silver" | null): Promise<void> {
    await this.update(ticket_id, { sla_policy_id: policy && this.policies[policy] });
    const again = policy ? [await this.start(ticket_id)] : [];
    await this.dispatch(["cancelSla", this.tenant, ticket_id], ...again);
  }

  async changePriority(ticket_id: string, priority: Priority): Promise<void> {
    await this.update(ticket_id, { priority_id: this.priorities[priority] });
    await this.dispatch(["cancelSla", this.tenant, ticket_id], await this.start(ticket_id));
  }

  /** The lines of the audit log stay, without the ticket. */
  async delete(ticket_id: string): Promise<void> {
    await this.table("sla_audit_log").where({ ticket_id }).update({ ticket_id: null });
    await this.table("tickets").where({ ticket_id }).delete();
    await this.dispatch(["cancelSla", this.tenant, ticket_id]);
  }

  async row(ticket_id: string): Promise<Row> {
    return this.table("tickets").where({ ticket_id }).first();
  }

  private table(name: string) {
    return tenantDb(this.knex, this.tenant).table(name);
  }

  private async update(ticket_id: string, columns: Row): Promise<void> {
    await this.table("tickets").where({ ticket_id }).update(columns);
  }

  private async log(ticket_id: string, event_type: string, event_data: Row): Promise<void> {
    const created_at = await this.clock.now();
    const { tenant } = this;
    await this.knex("sla_audit_log").insert({ tenant, ticket_id, event_type, event_data, created_at });
  }

  /** As `slaService` makes it. After a change no thresholds are given. */
  private async start(ticket_id: string, thresholds?: number[]): Promise<unknown[]> {
    const { sla_policy_id, priority_id } = await this.row(ticket_id);
    const target = await this.table("sla_policy_targets").where({ sla_policy_id, priority_id }).first();
    const { schedule } = this;
    const of = { schedule_id: schedule };
    const entries = await this.table("business_hours_entries").where(of);
    const holidays = await this.table("holidays").where((builder) =>
      builder.whereNull("schedule_id").orWhere(of),
    );
    const whole = { ...(await this.table("business_hours_schedules").where(of).first()), entries, holidays };
    return ["startSlaTracking", ticket_id, sla_policy_id, [target], whole, thresholds];
  }

  private async dispatch(...actions: unknown[][]): Promise<void> {
    await this.clock.advanceBy(LATENCY_MS);
    for (const [method, ...args] of actions) {
      try {
        await this.call(method as keyof ISlaBackend, args);
      } catch (error) {
        this.swallowed.push(`${method}: ${(error as SladError).reason}`);
      }
    }
  }

  private call(method: keyof ISlaBackend, args: unknown[]): Promise<unknown> {
    return (this.backend[method] as (...args: unknown[]) => Promise<unknown>).apply(this.backend, args);
  }
}
