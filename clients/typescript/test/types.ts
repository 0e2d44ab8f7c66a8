/** For the compiler only: SladSlaBackend is assignable to AlgaPSA's interface, as AlgaPSA writes it. */

import { type ISlaStatus as OurStatus, SladClient, SladSlaBackend } from "../src/index.js";

type ISODateString = string;
type SlaPauseReason = "awaiting_client" | "status_pause";

interface ISlaPolicyTarget {
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
  created_at?: ISODateString;
  updated_at?: ISODateString;
}

interface IBusinessHoursEntry {
  tenant?: string;
  entry_id: string;
  schedule_id: string;
  day_of_week: number;
  start_time: string;
  end_time: string;
  is_enabled: boolean;
}

interface IHoliday {
  tenant?: string;
  holiday_id: string;
  schedule_id?: string | null;
  holiday_name: string;
  holiday_date: string;
  is_recurring: boolean;
  created_at?: ISODateString;
}

interface IBusinessHoursScheduleWithEntries {
  tenant?: string;
  schedule_id: string;
  schedule_name: string;
  timezone: string;
  is_default: boolean;
  is_24x7: boolean;
  created_at?: ISODateString;
  updated_at?: ISODateString;
  entries: IBusinessHoursEntry[];
  holidays?: IHoliday[];
}

interface ISlaStatus {
  status: "on_track" | "at_risk" | "response_breached" | "resolution_breached" | "paused";
  response_remaining_minutes?: number;
  resolution_remaining_minutes?: number;
  is_paused: boolean;
  pause_reason?: SlaPauseReason;
  total_pause_minutes: number;
}

interface ISlaBackend {
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

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;

export const backend: ISlaBackend = new SladSlaBackend();
export const sameStatus: Same<OurStatus, ISlaStatus> = true;
/** Neither side takes or gives less than the other says. */
export const sameMethods: {
  [K in keyof ISlaBackend]: Same<
    Parameters<ISlaBackend[K]>["length"],
    Parameters<SladSlaBackend[K]>["length"]
  >;
} = {
  startSlaTracking: true,
  pauseSla: true,
  resumeSla: true,
  completeSla: true,
  cancelSla: true,
  getSlaStatus: true,
};

const client = new SladClient();
// @ts-expect-error: the reason is one of slad's
void client.pauseSla({ ticket_id: "T-1", reason: "lunch" });
// @ts-expect-error: fields are named as in the contract
void client.resumeSla({ ticketId: "T-1" });
// @ts-expect-error: an instant is a Date
void client.resumeSla({ ticket_id: "T-1", effective_at: "2026-03-02" });
// @ts-expect-error: AlgaPSA has two reasons
void new SladSlaBackend({ client }).pauseSla("T-1", "lunch");
