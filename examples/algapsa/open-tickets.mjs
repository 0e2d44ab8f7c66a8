/** AlgaPSA's open tickets, as its rows and its audit log tell of them: for the import and the nightly comparison. */

import { scheduleOf, THRESHOLDS, targetOf } from "./desk.mjs";

/** @returns {Generator<import("@slad/client").OpenTicket>} */
export function* openTickets(database) {
  for (const row of database.tickets.values()) {
    if (!row.sla_policy_id || row.sla_resolution_at) {
      continue;
    }
    const target = targetOf(row.sla_policy_id, row.priority_id);
    yield {
      ticketId: row.ticket_id,
      policyId: row.sla_policy_id,
      targets: [target],
      schedule: scheduleOf(target),
      notificationThresholds: THRESHOLDS[row.sla_policy_id].map(({ percent }) => percent),
      startedAt: row.sla_started_at,
      pauses: pausesOf(row, database.slaAuditLog),
      responseAt: row.sla_response_at,
      responseMet: row.sla_response_met,
    };
  }
}

/** A line `sla_resumed` has both ends of a pause; the reason is that of the line `sla_paused` before it. */
function pausesOf(row, log) {
  const pauses = [];
  let reason = null;
  for (const { ticket_id, event_type, event_data } of log) {
    if (ticket_id !== row.ticket_id) {
      continue;
    }
    if (event_type === "sla_paused") {
      reason = event_data.reason;
    } else if (event_type === "sla_resumed") {
      const { paused_at, resumed_at } = event_data;
      pauses.push({ pausedAt: new Date(paused_at), resumedAt: new Date(resumed_at), reason });
    }
  }
  if (row.sla_paused_at) {
    pauses.push({ pausedAt: row.sla_paused_at, reason });
  }
  return pauses;
}
