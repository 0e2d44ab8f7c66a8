/** AlgaPSA's interface. Its types are its own, and are assigned structurally. */

export type SlaPauseReason = "awaiting_client" | "status_pause";

export interface ISlaPolicyTarget {
  tenant?: string;
  target_id: string;
  sla_policy_id: string;
  priority_id: string;
  response_time_minutes?: number | null;
  resolution_time_minutes?: number | null;
  escalation_1_percent: number;
  escalation_2_percent: number;
  escalation_3_percent: number;
  is_24x7: boolean;
  created_at?: string;
}

export interface IBusinessHoursScheduleWithEntries {
  tenant?: string;
  schedule_id: string;
  schedule_name: string;
  timezone: string;
  is_default: boolean;
  is_24x7: boolean;
  entries: {
    tenant?: string;
    entry_id: string;
    schedule_id: string;
    day_of_week: number;
    start_time: string;
    end_time: string;
    is_enabled: boolean;
  }[];
  holidays?: {
    tenant?: string;
    holiday_id: string;
    schedule_id?: string | null;
    holiday_name: string;
    holiday_date: string;
    is_recurring: boolean;
  }[];
}

export interface ISlaStatus {
  status: "on_track" | "at_risk" | "response_breached" | "resolution_breached" | "paused";
  response_remaining_minutes?: number;
  resolution_remaining_minutes?: number;
  is_paused: boolean;
  pause_reason?: SlaPauseReason;
  total_pause_minutes: number;
}

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
