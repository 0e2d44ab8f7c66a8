/** The dates of holidays, whatever the database driver or JSON has made of them. */

import { isDate } from "../checks.js";
import type { Warn } from "./warnings.js";

const DAY_MS = 86_400_000;

/**
 * A date as YYYY-MM-DD. The PostgreSQL driver makes a Date of a column of type date: midnight in the zone of the
 * host. In UTC that is the day before, east of Greenwich; so it is read in the zone in which it is a midnight: the
 * host's, UTC, or that of the schedule. One that is a midnight in none of them came from a host elsewhere: it is
 * read in the zone of the schedule, with a warning. The same for a text that is such an instant.
 */
export function dateOf(value: unknown, timezone: string, path: string, warn: Warn): unknown {
  if (isDate(value) && !Number.isNaN(value.getTime())) {
    return midnightIn(value, timezone, path, warn);
  }
  if (typeof value === "string" && /^\d{4}-\d\d-\d\dT(?!00:00)/.test(value)) {
    const instant = new Date(value);
    return Number.isNaN(instant.getTime()) ? value : midnightIn(instant, timezone, path, warn);
  }
  return value;
}

function midnightIn(value: Date, timezone: string, path: string, warn: Warn): string {
  const local = [value.getHours(), value.getMinutes(), value.getSeconds(), value.getMilliseconds()];
  if (local.every((part) => part === 0)) {
    return written(value.getFullYear(), value.getMonth() + 1, value.getDate());
  }
  if (value.getTime() % DAY_MS === 0) {
    return value.toISOString().slice(0, 10);
  }
  const { date, isMidnight } = inZone(value, timezone);
  if (!isMidnight) {
    warn(path, `${value.toISOString()} is a midnight in no zone known here; it is taken for ${date}`);
  }
  return date;
}

/** The date in a zone; in UTC if there is no such zone, which slad refuses by the schedule's own field. */
function inZone(value: Date, timezone: string): { date: string; isMidnight: boolean } {
  let format: Intl.DateTimeFormat;
  try {
    format = new Intl.DateTimeFormat("en-CA", {
      timeZone: timezone,
      dateStyle: "short",
      timeStyle: "medium",
      hourCycle: "h23",
    });
  } catch {
    return { date: value.toISOString().slice(0, 10), isMidnight: false };
  }
  const parts = Object.fromEntries(format.formatToParts(value).map(({ type, value: text }) => [type, text]));
  return {
    date: written(Number(parts.year), Number(parts.month), Number(parts.day)),
    isMidnight: `${parts.hour}:${parts.minute}:${parts.second}` === "00:00:00",
  };
}

function written(year: number, month: number, day: number): string {
  const two = (number: number) => String(number).padStart(2, "0");
  return `${String(year).padStart(4, "0")}-${two(month)}-${two(day)}`;
}
