/**
 * AlgaPSA's own types, as far as its SLA backend has to do with them. They are here so that this package needs
 * nothing of AlgaPSA; assignment is structural.
 */

export type SlaPauseReason = "awaiting_client" | "status_pause";

export type SlaTimerStatusName =
  | "on_track"
  | "at_risk"
  | "response_breached"
  | "resolution_breached"
  | "paused";

export interface ISlaStatus {
  status: SlaTimerStatusName;
  /** Open minutes left; negative once past; absent for a clock that is closed or has no target. */
  response_remaining_minutes?: number;
  resolution_remaining_minutes?: number;
  is_paused: boolean;
  pause_reason?: SlaPauseReason;
  total_pause_minutes: number;
}

export interface ISlaPolicyTarget {
  tenant?: string;
  target_id: string;
  sla_policy_id: string;
  priority_id: string;
  /** null: the ticket has no response clock. */
  response_time_minutes?: number | null;
  resolution_time_minutes?: number | null;
  escalation_1_percent: number;
  escalation_2_percent: number;
  escalation_3_percent: number;
  is_24x7: boolean;
}

export interface IBusinessHoursEntry {
  entry_id: string;
  /** 0 = Sunday. */
  day_of_week: number;
  start_time: string;
  end_time: string;
  is_enabled: boolean;
}

export interface IHoliday {
  holiday_id: string;
  holiday_name: string;
  /** YYYY-MM-DD. */
  holiday_date: string;
  is_recurring: boolean;
}

export interface IBusinessHoursScheduleWithEntries {
  tenant?: string;
  schedule_id: string;
  schedule_name: string;
  timezone: string;
  is_default: boolean;
  is_24x7: boolean;
  entries: IBusinessHoursEntry[];
  holidays?: IHoliday[];
}

/** What AlgaPSA calls when something happens to a ticket. */
export interface ISlaBackend {
  startSlaTracking(
    ticketId: string,
    policyId: string,
    targets: ISlaPolicyTarget[],
    schedule: IBusinessHoursScheduleWithEntries,
    notificationThresholds?: number[],
  ): Promise<void>;
  pauseSla(ticketId: string, reason: SlaPauseReason): Promise<void>;
  resumeSla(ticketId: string): Promise<void>;
  completeSla(ticketId: string, type: "response" | "resolution", met: boolean | null): Promise<void>;
  cancelSla(tenantId: string, ticketId: string): Promise<void>;
  getSlaStatus(ticketId: string): Promise<ISlaStatus | null>;
}
