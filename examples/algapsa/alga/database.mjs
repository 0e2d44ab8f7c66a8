/** The tables of AlgaPSA that SLA is about, in memory, with the foreign key that its database has. */

export class Database {
  constructor() {
    this.tickets = new Map();
    this.slaAuditLog = [];
  }

  insertTicket(row) {
    this.tickets.set(row.ticket_id, row);
  }

  /** Raises when there is no such ticket: the audit log has a foreign key. */
  insertAudit(ticketId, eventType, eventData, createdAt) {
    if (!this.tickets.has(ticketId)) {
      throw new Error(
        'insert or update on table "sla_audit_log" violates foreign key constraint "sla_audit_log_ticket_fkey"',
      );
    }
    this.slaAuditLog.push({
      ticket_id: ticketId,
      event_type: eventType,
      event_data: eventData,
      created_at: createdAt,
    });
  }

  /** What the log has of a ticket stays, without the reference. */
  deleteTicket(ticketId) {
    this.tickets.delete(ticketId);
    for (const row of this.slaAuditLog) {
      if (row.ticket_id === ticketId) {
        row.ticket_id = null;
      }
    }
  }
}
