/**
 * What AlgaPSA does about slad's events, as in docs/adopting-in-algapsa.md. Each handler looks at the ticket's row
 * first: one that is closed or deleted is nobody's business any more, and the event is acknowledged. So is a threshold of a
 * named clock, which has no phase.
 */

import { checkEscalationNeeded, escalateTicket } from "./alga/escalation.mjs";

/** @returns {import("@slad/client").SlaEventHandlers} */
export function handlersOf({ client, database, bus, mailbox, verdicts }) {
  const openTicket = (ticketId) => {
    const ticket = database.tickets.get(ticketId);
    return ticket && !ticket.closed_at ? ticket : undefined;
  };
  return {
    onNotification: async ({ tenantId, ticketId, phase, thresholdPercent, occurredAt, eventId }) => {
      const ticket = openTicket(ticketId);
      if (!ticket || !phase || thresholdPercent > 100) {
        return; // the bus takes no more than 100 %
      }
      const payload = { tenantId, ticketId, phase, thresholdPercent, occurredAt: occurredAt.toISOString() };
      await bus.publish({ eventType: "TICKET_SLA_THRESHOLD_REACHED", payload }, { eventId, strict: true });
      ticket.attributes[`sla_last_${phase}_threshold_notified`] = thresholdPercent;
    },
    onEscalation: async ({ ticketId, phase, thresholdPercent, occurredAt }) => {
      const isOpen = phase && openTicket(ticketId);
      const level = isOpen && checkEscalationNeeded(database, ticketId, thresholdPercent);
      if (level) {
        const done = escalateTicket(database, mailbox, ticketId, level, occurredAt);
        if (!done.success) {
          throw new Error(done.error);
        }
      }
    },
    onBreach: async ({ ticketId, phase }) => {
      const ticket = openTicket(ticketId);
      if (ticket && phase) {
        ticket[`sla_${phase}_met`] = false; // and no sla_response_at: a missed response is not a response
      }
    },
    onRetracted: async ({ ticketId, phase, thresholdPercent, breach, occurredAt }) => {
      const ticket = openTicket(ticketId);
      if (ticket && phase) {
        if (breach) {
          ticket[`sla_${phase}_met`] = null;
        }
        mailbox.put(
          ticket.assigned_to,
          occurredAt,
          ticketId,
          `${phase} at ${thresholdPercent} %: taken back`,
        );
      }
    },
    // slad's verdict, also over one that AlgaPSA made by an older due date.
    onCompleted: async ({ ticketId, phase, met }) => {
      const ticket = database.tickets.get(ticketId);
      if (ticket?.[`sla_${phase}_at`]) {
        ticket[`sla_${phase}_met`] = met;
      }
      verdicts.push({ ticketId, phase, met });
    },
    // Whatever happened, the due dates are slad's.
    onAny: async ({ tenantId, ticketId }) => {
      const ticket = openTicket(ticketId);
      if (ticket) {
        const { response, resolution } = await client.getSlaStatus({
          tenant_id: tenantId,
          ticket_id: ticketId,
        });
        ticket.sla_response_due_at = response?.due_at ?? null;
        ticket.sla_resolution_due_at = resolution?.due_at ?? null;
      }
    },
  };
}
