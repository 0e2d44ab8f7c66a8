/**
 * The activities of AlgaPSA's Temporal worker. They look like handlers for slad's events, and are not: their log is
 * that of a running activity, and the audit log does not take deleted tickets.
 */

import { checkEscalationNeeded, escalateTicket } from "./escalation.mjs";

export class Activities {
  constructor(database, bus, mailbox) {
    Object.assign(this, { database, bus, mailbox });
  }

  async sendSlaNotification({ tenantId, ticketId, phase, thresholdPercent }) {
    activityLog();
    const payload = { tenantId, ticketId, phase, thresholdPercent };
    await this.bus.publish({ eventType: "TICKET_SLA_THRESHOLD_REACHED", payload });
  }

  async checkAndEscalate({ ticketId, thresholdPercent }) {
    activityLog();
    const level = checkEscalationNeeded(this.database, ticketId, thresholdPercent);
    if (level) {
      escalateTicket(this.database, this.mailbox, ticketId, level);
    }
  }

  async recordSlaAuditLog({ ticketId, eventType, eventData }) {
    this.database.insertAudit(ticketId, eventType, eventData, new Date());
  }
}

/** `Context.current()` of Temporal. */
function activityLog() {
  throw new Error("Activity context not initialized");
}
