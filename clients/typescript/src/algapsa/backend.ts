/** AlgaPSA's SLA backend, over slad. */

import { type Input, isDate, wrongType } from "../checks.js";
import { SladClient, type SladClientOptions } from "../client.js";
import type { CallOptions, SlaCommands } from "../commands.js";
import { InvalidArgument, invalid, NotFound } from "../errors.js";
import type { SladPipeline } from "../pipeline.js";
import type { PauseAccounting, SlaClockTerms } from "../stubs/slad/v1/types.js";
import { type Terms, termsOf, thresholdsOf } from "./terms.js";
import type {
  IBusinessHoursScheduleWithEntries,
  ISlaBackend,
  ISlaPolicyTarget,
  ISlaStatus,
  SlaPauseReason,
  SlaTimerStatusName,
} from "./types.js";
import { type OnWarning, type Warn, warnerOf } from "./warnings.js";

/** How long ago a cancel may be for a start to go on with its clock, ms. */
export const DEFAULT_CONTINUE_WITHIN_MS = 600_000;
/** A call is made while somebody waits for a page. */
export const DEFAULT_BACKEND_TIMEOUT_MS = 3_000;

/** What a start is about, for options that are decided start by start. */
export interface SlaStart {
  ticketId: string;
  policyId: string;
  tenantId: string;
}

/** What a resolver says; null and undefined are no answer. */
type Answer<Value> = Value | null | undefined | Promise<Value | null | undefined>;

export interface SladSlaBackendOptions {
  /** A client to share, which stays open; or where slad is. */
  client?: SladClient | SladClientOptions;
  /**
   * Says to which tenant a ticket belongs. Without it, a start takes it from schedule and targets, and the other
   * calls need none as long as a ticket id is live under one tenant only.
   */
  resolveTenant?: (ticketId: string) => string | null | undefined | Promise<string | null | undefined>;
  /**
   * AlgaPSA changes a policy by cancel and start. A start within so many ms of the cancel goes on with the
   * clock; later it begins anew. 0: it always begins anew. Default 600,000.
   */
  continueWithinMs?: number;
  /**
   * Says when the clocks of a ticket began: AlgaPSA's `sla_started_at`. A start that comes late then counts from
   * there, and one that comes long after a cancel goes on with the clock, as AlgaPSA's row does; `continueWithinMs`
   * is not asked, unless it is 0. Null: now.
   */
  startedAt?: (tenantId: string, ticketId: string) => Answer<Date>;
  /**
   * Says the percents of a policy, for a start that says none: AlgaPSA's after a change of policy or priority.
   * Null: as they were under the same policy, and slad's default under another.
   */
  notificationThresholds?: (tenantId: string, policyId: string) => Answer<readonly number[]>;
  /**
   * Says the named clocks of a policy, such as the next reply, which ISlaBackend has no word for. They are part of
   * every start: of a ticket that goes on after a cancel, the clocks that are not said again are gone.
   */
  clocks?: (tenantId: string, policyId: string) => Answer<readonly Input<SlaClockTerms>[]>;
  /**
   * Told of what slad cannot take, once for each policy and field; the rest of the start is sent. Default: a line
   * of console.warn.
   */
  onWarning?: OnWarning;
  /** How pauses move deadlines; a function is asked at each start. Default BUSINESS_TIME. */
  pauseAccounting?: PauseAccounting | ((start: SlaStart) => PauseAccounting);
  /** Ms for a call, retries included. Default 3,000. */
  timeoutMs?: number;
  /**
   * Sends commands through a pipeline: those that are under way at the same time share messages, which costs slad and
   * this process less. Close the backend then. Default false.
   */
  pipeline?: boolean;
}

/**
 * Drop-in for AlgaPSA's other SLA backends: its methods are those of ISlaBackend. All reject with a SladError;
 * what cannot be right is an InvalidArgument whose `field` names the argument.
 */
export class SladSlaBackend implements ISlaBackend {
  /** For what ISlaBackend does not have: timelines, import, events. */
  readonly client: SladClient;
  private readonly ownsClient: boolean;
  private readonly pipeline: SladPipeline<true> | undefined;
  private readonly commands: SlaCommands<boolean>;
  private readonly call: CallOptions;
  private readonly continueWithinMs: number;

  constructor(private readonly options: SladSlaBackendOptions = {}) {
    const { client } = options;
    this.ownsClient = !(client instanceof SladClient);
    this.client = client instanceof SladClient ? client : new SladClient(client);
    this.pipeline = options.pipeline ? this.client.pipeline({ omitStatus: true }) : undefined;
    this.commands = this.pipeline ?? this.client;
    this.call = { timeoutMs: options.timeoutMs ?? DEFAULT_BACKEND_TIMEOUT_MS };
    const within = options.continueWithinMs ?? DEFAULT_CONTINUE_WITHIN_MS;
    if (!Number.isInteger(within) || within < 0) {
      throw invalid("continueWithinMs", "OUT_OF_RANGE", `${within} is not a whole number of milliseconds`);
    }
    this.continueWithinMs = within;
  }

  /**
   * Starts the clocks of a ticket. Idempotent. Shortly after a cancel it goes on with the cancelled clock, under
   * the new terms; its thresholds stay when none are given. A completed ticket stays completed. A target of null or 0 minutes is none; with neither, nothing is tracked. What slad cannot take
   * of the percents is left out.
   */
  async startSlaTracking(
    ticketId: string,
    policyId: string,
    targets: ISlaPolicyTarget[],
    schedule: IBusinessHoursScheduleWithEntries,
    notificationThresholds?: number[],
  ): Promise<void> {
    checkId("ticket_id", ticketId);
    const warn = warnerOf(ticketId, policyId, this.options.onWarning);
    try {
      const given = { policyId, targets, schedule, notificationThresholds };
      const terms = await termsOf(given, () => this.tenantOf(ticketId), warn);
      if (terms) {
        await this.start(terms, ticketId, warn);
      }
    } catch (error) {
      if (error instanceof InvalidArgument) {
        warn(error.field, `${problemOf(error)}: the start is refused, and the ticket has no SLA`);
      }
      throw error;
    }
  }

  private async start(terms: Terms, ticketId: string, warn: Warn): Promise<void> {
    const { tenant_id: tenantId, policy_id: policyId } = terms;
    const { pauseAccounting = "PAUSE_ACCOUNTING_BUSINESS_TIME" } = this.options;
    const startedAt = await this.startedAt(tenantId, ticketId, warn);
    const thresholds = terms.notification_thresholds;
    const anyTimeAgo = startedAt !== undefined && this.continueWithinMs > 0;
    const request = {
      ...terms,
      ticket_id: ticketId,
      started_at: startedAt,
      notification_thresholds:
        thresholds.length > 0 ? thresholds : await this.thresholdsOfPolicy(tenantId, policyId, warn),
      clocks: await this.clocksOfPolicy(tenantId, policyId, warn),
      // AlgaPSA also starts closed tickets: with this they stay closed.
      on_existing: "ON_EXISTING_CONTINUE_CANCELLED" as const,
      continue_within: anyTimeAgo ? undefined : this.continueWithinMs,
      pause_accounting:
        typeof pauseAccounting === "function"
          ? pauseAccounting({ ticketId, policyId, tenantId })
          : pauseAccounting,
    };
    try {
      await this.commands.startSlaTracking(request, this.call);
    } catch (error) {
      if (!(error instanceof InvalidArgument && error.field === "started_at")) {
        throw error;
      }
      warn(error.field, `${problemOf(error)}: the clocks begin now`);
      await this.commands.startSlaTracking({ ...request, started_at: undefined }, this.call);
    }
  }

  /** Stops the clocks. Pausing a paused ticket, or one that is not tracked, changes nothing. */
  async pauseSla(ticketId: string, reason: SlaPauseReason): Promise<void> {
    checkId("ticket_id", ticketId);
    const given = pauseReasonOf(reason);
    const ticket = await this.ticket(ticketId);
    await this.ifTracked(ticketId, this.commands.pauseSla({ ...ticket, reason: given }, this.call));
  }

  /** Lets the clocks count on. Resuming a running ticket, or one that is not tracked, changes nothing. */
  async resumeSla(ticketId: string): Promise<void> {
    checkId("ticket_id", ticketId);
    await this.ifTracked(ticketId, this.commands.resumeSla(await this.ticket(ticketId), this.call));
  }

  /**
   * Closes the response clock, or with the resolution both. slad's verdict is its own; `met` is recorded beside
   * it, null for none. Of a ticket that is not tracked it changes nothing.
   */
  async completeSla(ticketId: string, type: "response" | "resolution", met: boolean | null): Promise<void> {
    checkId("ticket_id", ticketId);
    const phase = PHASES[oneOf("type", type, PHASES)];
    if (met !== null && met !== undefined && typeof met !== "boolean") {
      throw wrongType("met", "a boolean, or null", met);
    }
    const ticket = await this.ticket(ticketId);
    await this.ifTracked(ticketId, this.commands.completeSla({ ...ticket, phase, met }, this.call));
  }

  /**
   * Ends the tracking without a verdict: the ticket was deleted, or its policy taken away or changed. Of a ticket
   * that is not tracked it changes nothing.
   */
  async cancelSla(tenantId: string, ticketId: string): Promise<void> {
    checkId("tenant_id", tenantId);
    checkId("ticket_id", ticketId);
    const ticket = { tenant_id: tenantId, ticket_id: ticketId };
    await this.ifTracked(ticketId, this.commands.cancelSla(ticket, this.call));
  }

  /** How a ticket stands; null when slad has never heard of it, or its tracking was cancelled. */
  async getSlaStatus(ticketId: string): Promise<ISlaStatus | null> {
    checkId("ticket_id", ticketId);
    try {
      const status = await this.client.getSlaStatus(await this.ticket(ticketId), this.call);
      return status.state === "SLA_TRACKING_STATE_CANCELLED" ? null : asAlgaStatus(status);
    } catch (error) {
      if (error instanceof NotFound) {
        return null;
      }
      throw error;
    }
  }

  /** Waits for what is under way in its pipeline, if it has one, and closes the client, unless it was handed over. */
  async close(): Promise<void> {
    if (this.pipeline) {
      await this.pipeline.close();
    }
    if (this.ownsClient) {
      this.client.close();
    }
  }

  /**
   * AlgaPSA pauses and completes tickets that have a policy and no target as well: of those slad knows nothing,
   * which is told once.
   */
  private async ifTracked(ticketId: string, call: Promise<unknown>): Promise<void> {
    try {
      await call;
    } catch (error) {
      if (!(error instanceof NotFound)) {
        throw error;
      }
      warnerOf(
        ticketId,
        "",
        this.options.onWarning,
      )("ticket_id", "slad does not track it, so nothing changes; further ones are not told of");
    }
  }

  private async startedAt(tenantId: string, ticketId: string, warn: Warn): Promise<Date | undefined> {
    const otherwise = "the clocks begin now";
    const startedAt: unknown = await asked(
      () => this.options.startedAt?.(tenantId, ticketId),
      "started_at",
      otherwise,
      warn,
    );
    if (startedAt === undefined || (isDate(startedAt) && !Number.isNaN(startedAt.getTime()))) {
      return startedAt;
    }
    warn("started_at", `the resolver gave no Date: ${otherwise}`);
    return undefined;
  }

  private async thresholdsOfPolicy(tenantId: string, policyId: string, warn: Warn) {
    const thresholds = await asked(
      () => this.options.notificationThresholds?.(tenantId, policyId),
      "notification_thresholds",
      "they stay, or are slad's default",
      warn,
    );
    return thresholdsOf(thresholds, warn);
  }

  private async clocksOfPolicy(tenantId: string, policyId: string, warn: Warn) {
    const clocks = await asked(
      () => this.options.clocks?.(tenantId, policyId),
      "clocks",
      "the ticket has no named clocks",
      warn,
    );
    return clocks && [...clocks];
  }

  private async ticket(ticketId: string): Promise<{ tenant_id: string | undefined; ticket_id: string }> {
    return { tenant_id: await this.tenantOf(ticketId), ticket_id: ticketId };
  }

  private async tenantOf(ticketId: string): Promise<string | undefined> {
    return (await this.options.resolveTenant?.(ticketId)) || undefined;
  }
}

/** What a resolver says. A start does not fail for want of it. */
async function asked<Value>(
  resolver: () => Answer<Value>,
  field: string,
  otherwise: string,
  warn: Warn,
): Promise<Value | undefined> {
  try {
    return (await resolver()) ?? undefined;
  } catch (error) {
    warn(field, `the resolver failed (${error}): ${otherwise}`);
    return undefined;
  }
}

const PAUSE_REASONS = {
  awaiting_client: "SLA_PAUSE_REASON_AWAITING_CLIENT",
  status_pause: "SLA_PAUSE_REASON_STATUS_PAUSE",
} as const;

const PHASES = {
  response: "SLA_PHASE_RESPONSE",
  resolution: "SLA_PHASE_RESOLUTION",
} as const;

/** slad's word for a reason of AlgaPSA's. Raises InvalidArgument. */
export function pauseReasonOf(reason: SlaPauseReason) {
  return PAUSE_REASONS[oneOf("reason", reason, PAUSE_REASONS)];
}

function problemOf(error: InvalidArgument): string {
  return error.violations[0]?.description || error.message;
}

/** slad's status in AlgaPSA's form. */
export function asAlgaStatus(status: {
  status: string;
  response_remaining_minutes?: number | undefined;
  resolution_remaining_minutes?: number | undefined;
  is_paused: boolean;
  pause_reason: string;
  total_pause_minutes: number;
}): ISlaStatus {
  const told: ISlaStatus = {
    status: status.status.replace("SLA_TIMER_STATUS_", "").toLowerCase() as SlaTimerStatusName,
    is_paused: status.is_paused,
    total_pause_minutes: status.total_pause_minutes,
  };
  if (status.response_remaining_minutes !== undefined) {
    told.response_remaining_minutes = status.response_remaining_minutes;
  }
  if (status.resolution_remaining_minutes !== undefined) {
    told.resolution_remaining_minutes = status.resolution_remaining_minutes;
  }
  if (status.is_paused) {
    told.pause_reason = status.pause_reason.replace("SLA_PAUSE_REASON_", "").toLowerCase() as SlaPauseReason;
  }
  return told;
}

function checkId(path: string, value: unknown): void {
  if (typeof value !== "string") {
    throw wrongType(path, "a string", value);
  }
  if (value === "") {
    throw invalid(path, "REQUIRED", "must not be empty");
  }
}

function oneOf<Choice extends string>(
  path: string,
  value: unknown,
  choices: Record<Choice, unknown>,
): Choice {
  if (typeof value !== "string") {
    throw wrongType(path, `one of ${Object.keys(choices).join(", ")}`, value);
  }
  if (!Object.hasOwn(choices, value)) {
    throw invalid(
      path,
      "UNKNOWN_ENUM_VALUE",
      `${JSON.stringify(value)} is not one of ${Object.keys(choices).join(", ")}`,
    );
  }
  return value as Choice;
}
