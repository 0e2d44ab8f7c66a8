/** Messages that were kept as JSON, which has no Dates. */

import type { Input } from "./checks.js";
import { type Kind, MESSAGES } from "./stubs/fields.js";
import type { SlaCommand } from "./stubs/slad/v1/sla_backend.js";

/**
 * A command that was kept as JSON, as in a column of an outbox: its instants are Dates again. It is checked when it
 * is sent.
 */
export function commandFromJson(json: object): Input<SlaCommand> {
  return messageFromJson("SlaCommand", json);
}

/** The message `name` out of what JSON made of it. What else is there stays as it is. */
export function messageFromJson<Message extends object>(name: string, json: object): Message {
  return revived({ message: name }, json) as Message;
}

function revived(kind: Kind | undefined, value: unknown): unknown {
  if (kind === "instant") {
    return typeof value === "string" ? new Date(value) : value;
  }
  if (typeof kind !== "object" || typeof value !== "object" || value === null) {
    return value;
  }
  if ("list" in kind) {
    return Array.isArray(value) ? value.map((item) => revived(kind.list, item)) : value;
  }
  const fields = "message" in kind ? MESSAGES[kind.message] : undefined;
  return fields
    ? Object.fromEntries(Object.entries(value).map(([key, item]) => [key, revived(fields[key], item)]))
    : value;
}
