/** AlgaPSA's open tickets as rows for an import or a reconciliation. */

import { type Input, wrongType } from "../checks.js";
import type { SlaTrackingImport } from "../stubs/slad/v1/sla_backend.js";
import type { PauseAccounting } from "../stubs/slad/v1/types.js";
import { pauseReasonOf } from "./backend.js";
import { termsOf } from "./terms.js";
import type { IBusinessHoursScheduleWithEntries, ISlaPolicyTarget, SlaPauseReason } from "./types.js";

/** One open ticket: its terms as at the start, and what has happened to it. */
export interface OpenTicket {
  ticketId: string;
  policyId: string;
  targets: ISlaPolicyTarget[];
  schedule: IBusinessHoursScheduleWithEntries;
  notificationThresholds?: number[];
  /** `sla_started_at`. */
  startedAt: Date;
  /** In order. AlgaPSA's audit log has their instants; the last one may be running. */
  pauses?: { pausedAt: Date; resumedAt?: Date | null; reason: SlaPauseReason }[];
  /** `sla_response_at`; null while there is no response. */
  responseAt?: Date | null;
  /** `sla_response_met`. */
  responseMet?: boolean | null;
}

/** What holds for all rows. */
export interface ImportOptions {
  /** Whether thresholds already past are recorded silently. Default true: people have heard of them. */
  suppressPast?: boolean;
  /** Default BUSINESS_TIME. */
  pauseAccounting?: PauseAccounting;
}

/** The row for one ticket. Rejects with InvalidArgument. */
export async function slaTrackingImport(
  ticket: OpenTicket,
  { suppressPast = true, pauseAccounting = "PAUSE_ACCOUNTING_BUSINESS_TIME" }: ImportOptions = {},
): Promise<Input<SlaTrackingImport>> {
  if (!(ticket.startedAt instanceof Date)) {
    throw wrongType("startedAt", "a Date", ticket.startedAt);
  }
  const terms = await termsOf(
    ticket.policyId,
    ticket.targets,
    ticket.schedule,
    ticket.notificationThresholds,
    async () => undefined,
  );
  return {
    start: {
      ...terms,
      ticket_id: ticket.ticketId,
      started_at: ticket.startedAt,
      suppress_past: suppressPast,
      pause_accounting: pauseAccounting,
    },
    pauses: (ticket.pauses ?? []).map(({ pausedAt, resumedAt, reason }) => ({
      paused_at: pausedAt,
      resumed_at: resumedAt,
      reason: pauseReasonOf(reason),
    })),
    response_completed_at: ticket.responseAt,
    response_met: ticket.responseMet,
  };
}
