/** AlgaPSA's escalation service. */

import { ESCALATION_MANAGERS, targetOf } from "../desk.mjs";

/** The level that a ticket is to have at a percent, above that which it has; null: none. */
export function checkEscalationNeeded(database, ticketId, percent) {
  const ticket = database.tickets.get(ticketId);
  if (!ticket?.sla_policy_id) {
    return null;
  }
  const target = targetOf(ticket.sla_policy_id, ticket.priority_id);
  const reached = [3, 2, 1].find(
    (level) => target[`escalation_${level}_percent`] && percent >= target[`escalation_${level}_percent`],
  );
  return reached && reached > (ticket.escalation_level ?? 0) ? reached : null;
}

/** Never raises: `success` says how it went. */
export function escalateTicket(database, mailbox, ticketId, level, occurredAt) {
  const ticket = database.tickets.get(ticketId);
  if (!ticket) {
    return { success: false, error: "Ticket not found" };
  }
  ticket.escalation_level = level;
  mailbox.put(ESCALATION_MANAGERS[level], occurredAt, ticketId, `escalated to level ${level}`);
  return { success: true };
}
