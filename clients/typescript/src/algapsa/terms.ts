/** AlgaPSA's rows as slad's terms. Only what slad knows is taken over: rows have more columns than it has fields. */

import { wrongType } from "../checks.js";
import { invalid } from "../errors.js";
import type {
  IBusinessHoursEntry,
  IBusinessHoursScheduleWithEntries,
  IHoliday,
  ISlaPolicyTarget,
} from "./types.js";

/** The terms of a start, with the fields of slad.v1; types are checked when it is sent. */
export interface Terms {
  tenant_id: string;
  policy_id: string;
  priority_id: string | null | undefined;
  targets: object[];
  schedule: object;
  notification_thresholds: readonly number[];
}

/**
 * The terms that AlgaPSA gives at a start. `resolve` is asked for the tenant when neither schedule nor targets
 * say it. Raises InvalidArgument with the path of what cannot be right, named as in slad.v1.
 */
export async function termsOf(
  policyId: string,
  targets: readonly ISlaPolicyTarget[],
  schedule: IBusinessHoursScheduleWithEntries,
  notificationThresholds: readonly number[] | null | undefined,
  resolve: () => Promise<string | undefined>,
): Promise<Terms> {
  if (typeof policyId !== "string") {
    throw wrongType("policy_id", "a string", policyId);
  }
  if (!Array.isArray(targets)) {
    throw wrongType("targets", "an array of targets", targets);
  }
  for (const [place, target] of targets.entries()) {
    checkObject(target, `targets[${place}]`);
  }
  checkObject(schedule, "schedule");
  return {
    tenant_id: tenantIn(targets, schedule) ?? (await resolve()) ?? unknownTenant(),
    policy_id: policyId,
    // AlgaPSA gives the target of the ticket's priority; of several the first counts.
    priority_id: targets[0]?.priority_id,
    targets: targets.map(targetOf),
    schedule: scheduleOf(schedule),
    notification_thresholds: notificationThresholds ?? [],
  };
}

/** The tenant that schedule and targets are of; undefined when they do not say. */
function tenantIn(
  targets: readonly ISlaPolicyTarget[],
  schedule: IBusinessHoursScheduleWithEntries,
): string | undefined {
  const said = [
    ["schedule.tenant", schedule.tenant] as const,
    ...targets.map((target, place) => [`targets[${place}].tenant`, target.tenant] as const),
  ].filter(([, tenant]) => tenant !== undefined && tenant !== null && tenant !== "");
  const [first] = said;
  for (const [path, tenant] of said) {
    if (tenant !== first?.[1]) {
      throw invalid(
        path,
        "OTHER_TENANT",
        `${tenant} is another tenant than that of ${first?.[0]}, ${first?.[1]}`,
      );
    }
  }
  return first?.[1];
}

function unknownTenant(): never {
  throw invalid(
    "schedule.tenant",
    "REQUIRED",
    "neither the schedule nor a target nor a resolver says the tenant",
  );
}

function targetOf(target: ISlaPolicyTarget): object {
  return {
    target_id: target.target_id,
    sla_policy_id: target.sla_policy_id,
    priority_id: target.priority_id,
    response_time_minutes: minutesOf(target.response_time_minutes),
    resolution_time_minutes: minutesOf(target.resolution_time_minutes),
    escalation_1_percent: target.escalation_1_percent,
    escalation_2_percent: target.escalation_2_percent,
    escalation_3_percent: target.escalation_3_percent,
    is_24x7: target.is_24x7,
  };
}

/** In AlgaPSA 0 minutes are no target, as null is. */
function minutesOf(minutes: number | null | undefined): number | null | undefined {
  return minutes === 0 ? null : minutes;
}

function scheduleOf(schedule: IBusinessHoursScheduleWithEntries): object {
  return {
    tenant: schedule.tenant,
    schedule_id: schedule.schedule_id,
    schedule_name: schedule.schedule_name,
    timezone: schedule.timezone,
    is_default: schedule.is_default,
    is_24x7: schedule.is_24x7,
    entries: items(schedule.entries, "schedule.entries", entryOf),
    holidays: items(schedule.holidays, "schedule.holidays", holidayOf),
  };
}

function entryOf(entry: IBusinessHoursEntry): object {
  return {
    entry_id: entry.entry_id,
    day_of_week: entry.day_of_week,
    start_time: entry.start_time,
    end_time: entry.end_time,
    is_enabled: entry.is_enabled,
  };
}

function holidayOf(holiday: IHoliday, path: string): object {
  return {
    holiday_id: holiday.holiday_id,
    holiday_name: holiday.holiday_name,
    holiday_date: dateOf(holiday.holiday_date, `${path}.holiday_date`),
    is_recurring: holiday.is_recurring,
  };
}

/**
 * A date as YYYY-MM-DD. The PostgreSQL driver makes a Date of a column of type date: midnight in the zone of the
 * host. In UTC that is the day before, east of Greenwich; so it is read in the zone in which it is a midnight.
 */
function dateOf(value: unknown, path: string): unknown {
  if (!(value instanceof Date)) {
    return value;
  }
  const local = [value.getHours(), value.getMinutes(), value.getSeconds(), value.getMilliseconds()];
  if (local.every((part) => part === 0)) {
    return written(value.getFullYear(), value.getMonth(), value.getDate());
  }
  if (value.getTime() % 86_400_000 === 0) {
    return written(value.getUTCFullYear(), value.getUTCMonth(), value.getUTCDate());
  }
  throw invalid(
    path,
    "MALFORMED_DATE",
    "a Date that is no midnight, neither here nor in UTC, is no date; give YYYY-MM-DD",
  );
}

function written(year: number, month: number, day: number): string {
  const two = (number: number) => String(number).padStart(2, "0");
  return `${String(year).padStart(4, "0")}-${two(month + 1)}-${two(day)}`;
}

function items<Row>(
  rows: readonly Row[] | null | undefined,
  path: string,
  make: (row: Row, at: string) => object,
) {
  if (rows === null || rows === undefined) {
    return [];
  }
  if (!Array.isArray(rows)) {
    throw wrongType(path, "an array", rows);
  }
  return rows.map((row: Row, place) => {
    const at = `${path}[${place}]`;
    checkObject(row, at);
    return make(row, at);
  });
}

function checkObject(value: unknown, path: string): void {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw wrongType(path, "an object", value);
  }
}
