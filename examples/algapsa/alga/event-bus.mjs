/** AlgaPSA's event bus, and the subscriber that tells people of SLA thresholds. */

import { THRESHOLDS } from "../desk.mjs";

export class EventBus {
  constructor(database, mailbox) {
    this.database = database;
    this.mailbox = mailbox;
    this.processed = new Set();
    this.published = 0;
  }

  /** Without `strict` a failure is logged and swallowed. An event id that was there is not handled again. */
  async publish({ eventType, payload }, { eventId, strict = false } = {}) {
    try {
      if (eventType !== "TICKET_SLA_THRESHOLD_REACHED") {
        throw new Error(`Unknown event type: ${eventType}`);
      }
      const { thresholdPercent: percent } = payload;
      if (!Number.isInteger(percent) || percent < 0 || percent > 100) {
        throw new Error(`thresholdPercent: ${percent} is not within 0 and 100`);
      }
      this.published += 1;
      if (!this.processed.has(eventId)) {
        this.processed.add(eventId);
        this.tell(payload);
      }
    } catch (error) {
      if (strict) {
        throw error;
      }
    }
  }

  /** Of the policy's thresholds the highest at or below the percent counts; without one nobody is told. */
  tell({ ticketId, phase, thresholdPercent, occurredAt }) {
    const ticket = this.database.tickets.get(ticketId);
    const threshold = THRESHOLDS[ticket?.sla_policy_id]?.findLast(
      ({ percent }) => percent <= thresholdPercent,
    );
    if (!threshold) {
      return;
    }
    const text = threshold.breach ? `${phase} target MISSED` : `${phase} at ${threshold.percent} %`;
    for (const role of threshold.notify) {
      this.mailbox.put(ticket[role], new Date(occurredAt), ticketId, text);
    }
  }
}

/** Inboxes stand for mail and in-app notifications. */
export class Mailbox {
  constructor() {
    this.inboxes = new Map();
  }

  put(person, occurredAt, ticketId, text) {
    const inbox = this.inboxes.get(person) ?? [];
    inbox.push({ occurredAt, ticketId, text });
    this.inboxes.set(person, inbox);
  }
}
