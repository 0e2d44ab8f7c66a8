/** Requests are checked before they are sent: types, whole numbers, enum values, names of fields. */

import { invalid } from "./errors.js";
import { ENUMS, type Kind, MESSAGES } from "./stubs/fields.js";
import type { Duration } from "./stubs/google/protobuf/duration.js";

/**
 * A message as callers write it: every field may be left out, or be null or undefined, which is the same.
 * Spans are Durations, or plain numbers of milliseconds.
 */
export type Input<T> = T extends Date | string | number | boolean | undefined
  ? T
  : T extends Duration
    ? Duration | number
    : T extends readonly (infer Item)[]
      ? readonly Input<Item>[]
      : T extends object
        ? { readonly [K in keyof T]?: Input<T[K]> | null }
        : T;

/**
 * The message `name` that `value` describes. Raises InvalidArgument with the path of the field that cannot be
 * what it is; `at` is the path of the message itself.
 */
export function checkedMessage(name: string, value: unknown, at = ""): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value) || value instanceof Date) {
    throw wrongType(at || "request", "an object", value);
  }
  const fields = MESSAGES[name];
  if (!fields) {
    throw new TypeError(`no message ${name} in slad.v1`);
  }
  const checked: Record<string, unknown> = {};
  for (const [key, given] of Object.entries(value)) {
    const path = at ? `${at}.${key}` : key;
    const kind = Object.hasOwn(fields, key) ? fields[key] : undefined;
    if (kind) {
      if (given !== null && given !== undefined) {
        checked[key] = checkedField(kind, given, path);
      }
      continue;
    }
    const meant = key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    if (Object.hasOwn(fields, meant)) {
      throw invalid(path, "UNKNOWN_FIELD", `the field is called ${meant}`);
    }
    // Anything else is left out: rows of a database may have more columns than slad has fields.
  }
  return checked;
}

function checkedField(kind: Kind, value: unknown, path: string): unknown {
  if (typeof kind === "object") {
    if ("message" in kind) {
      return checkedMessage(kind.message, value, path);
    }
    if ("enum" in kind) {
      return checkedEnum(kind.enum, value, path);
    }
    if (!Array.isArray(value)) {
      throw wrongType(path, "an array", value);
    }
    return Array.from(value, (item, place) => {
      const at = `${path}[${place}]`;
      if (item === null || item === undefined) {
        throw invalid(at, "REQUIRED", "an item of an array cannot be missing");
      }
      return checkedField(kind.list, item, at);
    });
  }
  switch (kind) {
    case "string":
      return checkedType("string", value, path);
    case "bool":
      return checkedType("boolean", value, path);
    case "int32":
      return checkedInteger(value, path, 2 ** 31 - 1);
    case "int64":
      return checkedInteger(value, path, Number.MAX_SAFE_INTEGER);
    case "double":
      return checkedType("number", value, path);
    case "instant":
      return checkedInstant(value, path);
    case "span":
      return checkedSpan(value, path);
    case "strings":
      return checkedStrings(value, path);
  }
}

function checkedType(type: "string" | "boolean" | "number", value: unknown, path: string): unknown {
  if (typeof value !== type) {
    throw wrongType(path, `a ${type}`, value);
  }
  return value;
}

function checkedInteger(value: unknown, path: string, max: number): number {
  if (typeof value !== "number") {
    throw wrongType(path, "a number", value);
  }
  if (!Number.isInteger(value) || Math.abs(value) > max) {
    throw invalid(
      path,
      "NOT_AN_INTEGER",
      `${value} is not a whole number${Number.isInteger(value) ? " of this size" : ""}`,
    );
  }
  return value;
}

function checkedEnum(name: string, value: unknown, path: string): unknown {
  const values = ENUMS[name] ?? [];
  if (typeof value !== "string") {
    throw wrongType(path, `one of ${values.slice(1).join(", ")}`, value);
  }
  if (!values.includes(value)) {
    throw invalid(
      path,
      "UNKNOWN_ENUM_VALUE",
      `${JSON.stringify(value)} is not one of ${values.slice(1).join(", ")}`,
    );
  }
  return value;
}

function checkedInstant(value: unknown, path: string): Date {
  if (!isDate(value)) {
    throw wrongType(path, "a Date", value);
  }
  if (Number.isNaN(value.getTime())) {
    throw invalid(path, "MALFORMED_TIMESTAMP", "an invalid Date");
  }
  return value;
}

/** Whether a value is a Date, perhaps of another realm, as in tests that run in a vm: hence not `instanceof`. */
export function isDate(value: unknown): value is Date {
  return Object.prototype.toString.call(value) === "[object Date]";
}

function checkedSpan(value: unknown, path: string): Duration {
  if (typeof value === "number") {
    return durationOf(checkedInteger(value, path, Number.MAX_SAFE_INTEGER));
  }
  if (typeof value !== "object") {
    throw wrongType(path, "a number of milliseconds, or a Duration", value);
  }
  const { seconds, nanos } = value as Partial<Duration>;
  return {
    seconds: checkedInteger(seconds ?? 0, `${path}.seconds`, Number.MAX_SAFE_INTEGER),
    nanos: checkedInteger(nanos ?? 0, `${path}.nanos`, 2 ** 31 - 1),
  };
}

function checkedStrings(value: unknown, path: string): unknown {
  if (typeof value !== "object" || Array.isArray(value)) {
    throw wrongType(path, "an object of strings", value);
  }
  for (const [key, item] of Object.entries(value as object)) {
    checkedType("string", item, `${path}.${key}`);
  }
  return value;
}

/** A span of so many milliseconds. */
export function durationOf(milliseconds: number): Duration {
  const seconds = Math.trunc(milliseconds / 1_000);
  return { seconds, nanos: (milliseconds - seconds * 1_000) * 1e6 };
}

/** The milliseconds of a span; what is finer than one is dropped. */
export function millisecondsOf(span: Duration): number {
  return span.seconds * 1_000 + Math.trunc(span.nanos / 1e6);
}

/** The refusal of a value that is of another type than it should be. */
export function wrongType(path: string, wanted: string, value: unknown) {
  return value === null || value === undefined
    ? invalid(path, "REQUIRED", `must be given: ${wanted}`)
    : invalid(path, "WRONG_TYPE", `must be ${wanted}, not ${typeName(value)}`);
}

function typeName(value: unknown): string {
  return Array.isArray(value) ? "an array" : value instanceof Date ? "a Date" : typeof value;
}
