/** What the handlers of events are given: the arguments of the activities that AlgaPSA has today, and more. */

import type { SlaEvent } from "../stubs/slad/v1/types.js";

/** What every handler is told. */
export interface SlaEventFacts {
  tenantId: string;
  ticketId: string;
  policyId: string;
  generation: number;
  /** The same however often the event is delivered. */
  eventId: string;
  /** The exact instant. */
  occurredAt: Date;
  attributes: Record<string, string>;
}

/** A clock reached one of its thresholds. */
export interface SlaThresholdFacts extends SlaEventFacts {
  /** Absent when the clock is a named one. */
  phase?: "response" | "resolution";
  /** Which clock: `response`, `resolution`, or the name that the ticket's terms give it. */
  clock: string;
  /** The number of its cycle, from 1, as of this event. */
  cycle: number;
  thresholdPercent: number;
  /** A higher threshold of the same clock fired together with it, after a downtime. */
  superseded: boolean;
}

/** For `sendSlaNotification`: people are to be told. */
export interface SlaNotification extends SlaThresholdFacts {
  /** This is the one at 100 %. */
  breach: boolean;
}

/** For `checkAndEscalate`: an escalation level begins. */
export interface SlaEscalation extends SlaThresholdFacts {
  level: 1 | 2 | 3;
}

/** For `updateSlaStatus`: a target is missed. */
export interface SlaBreach extends SlaThresholdFacts {
  breached: true;
}

/** For `updateSlaStatus`: an obligation is fulfilled, in time or not. */
export interface SlaCompletion extends SlaEventFacts {
  phase: "response" | "resolution";
  /** slad's verdict; null when the phase has no clock. */
  met: boolean | null;
  breached: boolean;
}

/** A threshold that was announced is not true after all: take back what was done for it. */
export interface SlaRetraction extends SlaThresholdFacts {
  notification: boolean;
  /** 0: none. */
  level: 0 | 1 | 2 | 3;
  breach: boolean;
}

/** For `recordSlaAuditLog`: any event. */
export interface SlaAuditEntry {
  tenantId: string;
  ticketId: string;
  /** `sla_threshold_reached` and so on: the event's type in lower case. */
  eventType: string;
  /** What there is to the event, ready for a column of JSON. */
  eventData: Record<string, unknown>;
}

export function factsOf(event: SlaEvent): SlaEventFacts {
  return {
    tenantId: event.tenant_id,
    ticketId: event.ticket_id,
    policyId: event.policy_id,
    generation: event.generation,
    eventId: event.event_id,
    occurredAt: event.occurred_at as Date,
    attributes: event.attributes,
  };
}

const PHASES = { SLA_PHASE_RESPONSE: "response", SLA_PHASE_RESOLUTION: "resolution" } as const;

/** Undefined for an event of a named clock, or of none. */
export function phaseOf(event: SlaEvent): "response" | "resolution" | undefined {
  return PHASES[event.phase as keyof typeof PHASES];
}

export function thresholdOf(event: SlaEvent): SlaThresholdFacts {
  return {
    ...factsOf(event),
    phase: phaseOf(event),
    clock: event.clock,
    cycle: event.cycle,
    thresholdPercent: event.threshold?.percent ?? 0,
    superseded: event.threshold?.superseded ?? false,
  };
}

export function auditOf(event: SlaEvent): SlaAuditEntry {
  const type = event.type.replace("SLA_EVENT_TYPE_", "").toLowerCase();
  const { threshold } = event;
  const told: Record<string, unknown> = {
    event_id: event.event_id,
    sequence: event.sequence,
    generation: event.generation,
    policy_id: event.policy_id,
    occurred_at: event.occurred_at?.toISOString(),
    recorded_at: event.recorded_at?.toISOString(),
  };
  const phase = phaseOf(event);
  if (phase) {
    told.phase = phase;
  }
  if (event.clock) {
    told.clock = event.clock;
    told.cycle = event.cycle;
    told.cycle_opened_at = event.cycle_opened_at?.toISOString();
  }
  if (threshold) {
    told.threshold_percent = threshold.percent;
    told.notification = threshold.notification;
    told.escalation_level = threshold.escalation_level;
    told.breach = threshold.breach;
    told.superseded = threshold.superseded;
  }
  if (event.pause_reason !== "SLA_PAUSE_REASON_UNSPECIFIED") {
    told.pause_reason = event.pause_reason.replace("SLA_PAUSE_REASON_", "").toLowerCase();
    told.pause_reason_code = event.pause_reason_code;
  }
  if (event.type === "SLA_EVENT_TYPE_OWNER_CHANGED") {
    told.owner = event.owner;
  }
  if (event.met !== undefined) {
    told.met = event.met;
  }
  return { tenantId: event.tenant_id, ticketId: event.ticket_id, eventType: `sla_${type}`, eventData: told };
}
