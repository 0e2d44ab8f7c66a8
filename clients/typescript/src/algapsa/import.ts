/** AlgaPSA's open tickets as rows for an import or a reconciliation. */

import { type Input, isDate, wrongType } from "../checks.js";
import { invalid } from "../errors.js";
import type { SlaTrackingImport } from "../stubs/slad/v1/sla_backend.js";
import type { PauseAccounting } from "../stubs/slad/v1/types.js";
import { pauseReasonOf } from "./backend.js";
import { type GivenTerms, termsOf } from "./terms.js";
import type { IBusinessHoursScheduleWithEntries, ISlaPolicyTarget, SlaPauseReason } from "./types.js";
import { type OnWarning, warnerOf } from "./warnings.js";

/** One open ticket: its terms as at the start, and what has happened to it. */
export interface OpenTicket extends GivenTerms {
  ticketId: string;
  targets: ISlaPolicyTarget[];
  schedule: IBusinessHoursScheduleWithEntries;
  /** The percents of the policy; an absent list leaves those of a ticket that slad has as they are. */
  notificationThresholds?: number[];
  /** `sla_started_at`. */
  startedAt: Date;
  /** In order. AlgaPSA's audit log has their instants; the last one may be running. */
  pauses?: { pausedAt: Date; resumedAt?: Date | null; reason?: SlaPauseReason | null }[];
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
  /** Told of what slad cannot take, once for each policy. Default: a line of console.warn. */
  onWarning?: OnWarning;
}

/**
 * The rows for tickets. One whose target has no minutes has nothing to track: it is left out, with a warning.
 * Raises InvalidArgument.
 */
export async function* slaTrackingImports(
  tickets: Iterable<OpenTicket> | AsyncIterable<OpenTicket>,
  options: ImportOptions = {},
): AsyncGenerator<Input<SlaTrackingImport>, void, undefined> {
  for await (const ticket of tickets) {
    const row = await rowOf(ticket, options);
    if (row) {
      yield row;
    }
  }
}

/** The row for one ticket. Rejects with InvalidArgument. */
export async function slaTrackingImport(
  ticket: OpenTicket,
  options: ImportOptions = {},
): Promise<Input<SlaTrackingImport>> {
  const row = await rowOf(ticket, options);
  if (!row) {
    throw invalid("targets", "NO_TARGET", "the target has neither a response nor a resolution time");
  }
  return row;
}

async function rowOf(
  ticket: OpenTicket,
  { suppressPast = true, pauseAccounting = "PAUSE_ACCOUNTING_BUSINESS_TIME", onWarning }: ImportOptions,
): Promise<Input<SlaTrackingImport> | null> {
  if (!isDate(ticket.startedAt)) {
    throw wrongType("startedAt", "a Date", ticket.startedAt);
  }
  const terms = await termsOf(
    ticket,
    async () => undefined,
    warnerOf(ticket.ticketId, ticket.policyId, onWarning),
  );
  return (
    terms && {
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
        reason: reason === null || reason === undefined ? undefined : pauseReasonOf(reason),
      })),
      response_completed_at: ticket.responseAt,
      response_met: ticket.responseMet,
    }
  );
}
