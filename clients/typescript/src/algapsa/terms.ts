/** AlgaPSA's rows as slad's terms. Only what slad knows is taken over: rows have more columns than it has fields. */

import { wrongType } from "../checks.js";
import { invalid } from "../errors.js";
import { dateOf } from "./dates.js";
import type { IBusinessHoursEntry, IBusinessHoursScheduleWithEntries, ISlaPolicyTarget } from "./types.js";
import type { Warn } from "./warnings.js";

/** The terms of a start, with the fields of slad.v1; types are checked when it is sent. */
export interface Terms {
  tenant_id: string;
  policy_id: string;
  priority_id: string | null | undefined;
  targets: object[];
  schedule: object;
  notification_thresholds: readonly number[];
}

/** What AlgaPSA says of a ticket at its start. */
export interface GivenTerms {
  policyId: string;
  targets: readonly ISlaPolicyTarget[];
  schedule: IBusinessHoursScheduleWithEntries;
  notificationThresholds?: readonly number[] | null | undefined;
}

/**
 * The terms that AlgaPSA gives at a start. `resolve` is asked for the tenant when neither schedule nor targets
 * say it; what slad cannot take of a list is left out, and `warn` is told. Null: the target has no minutes, so
 * there is nothing to track, and `warn` is told too. Raises InvalidArgument with the path of what cannot be
 * right, named as in slad.v1.
 */
export async function termsOf(
  { policyId, targets, schedule, notificationThresholds }: GivenTerms,
  resolve: () => Promise<string | undefined>,
  warn: Warn,
): Promise<Terms | null> {
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
  // AlgaPSA gives the target of the ticket's priority; of several the first counts.
  const [chosen] = targets;
  if (isNone(chosen?.response_time_minutes) && isNone(chosen?.resolution_time_minutes)) {
    warn("targets", "neither a response nor a resolution time: tickets of this target are not tracked");
    return null;
  }
  return {
    tenant_id: tenantIn(targets, schedule) ?? (await resolve()) ?? unknownTenant(),
    policy_id: policyId,
    priority_id: chosen?.priority_id,
    targets: targets.map((target, place) => targetOf(target, `targets[${place}]`, warn)),
    schedule: scheduleOf(schedule, warn),
    notification_thresholds: thresholdsOf(notificationThresholds, warn),
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

const ESCALATIONS = ["escalation_1_percent", "escalation_2_percent", "escalation_3_percent"] as const;

function targetOf(target: ISlaPolicyTarget, path: string, warn: Warn): object {
  const escalations = ESCALATIONS.filter((name) => {
    const percent: unknown = target[name];
    // 0 and null are no escalation.
    return percent && takes(percent, `${path}.${name}`, "nobody is escalated to at it", warn);
  });
  return {
    target_id: target.target_id,
    sla_policy_id: target.sla_policy_id,
    priority_id: target.priority_id,
    response_time_minutes: isNone(target.response_time_minutes) ? null : target.response_time_minutes,
    resolution_time_minutes: isNone(target.resolution_time_minutes) ? null : target.resolution_time_minutes,
    ...Object.fromEntries(escalations.map((name) => [name, target[name]])),
    is_24x7: target.is_24x7,
  };
}

/** In AlgaPSA 0 minutes are no target, as null is. */
function isNone(minutes: number | null | undefined): boolean {
  return minutes === 0 || minutes === null || minutes === undefined;
}

/** An absent list stays absent; one of which nothing is left tells of 100 % only, and not of slad's default. */
export function thresholdsOf(percents: readonly number[] | null | undefined, warn: Warn): readonly number[] {
  const given = percents ?? [];
  if (!Array.isArray(given)) {
    throw wrongType("notification_thresholds", "an array of percents", given);
  }
  const taken = given.filter((percent, place) =>
    takes(percent, `notification_thresholds[${place}]`, "nobody is told at it", warn),
  );
  return given.length > 0 && taken.length === 0 ? [NOMINAL_PERCENT] : taken;
}

const NOMINAL_PERCENT = 100;
const MAX_PERCENT = 1_000;

/** Whether slad takes a percent; if not, it is left out, and `warn` is told what that means. */
function takes(percent: unknown, path: string, meaning: string, warn: Warn): boolean {
  if (typeof percent === "number" && Number.isInteger(percent) && percent >= 1 && percent <= MAX_PERCENT) {
    return true;
  }
  warn(path, `${JSON.stringify(percent)} is not a whole percent from 1 to ${MAX_PERCENT}: ${meaning}`);
  return false;
}

function scheduleOf(schedule: IBusinessHoursScheduleWithEntries, warn: Warn): object {
  return {
    tenant: schedule.tenant,
    schedule_id: schedule.schedule_id,
    schedule_name: schedule.schedule_name,
    timezone: schedule.timezone,
    is_default: schedule.is_default,
    is_24x7: schedule.is_24x7,
    entries: items(schedule.entries, "schedule.entries", entryOf),
    holidays: items(schedule.holidays, "schedule.holidays", (holiday, path) => ({
      holiday_id: holiday.holiday_id,
      holiday_name: holiday.holiday_name,
      holiday_date: dateOf(holiday.holiday_date, schedule.timezone, `${path}.holiday_date`, warn),
      is_recurring: holiday.is_recurring,
    })),
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
