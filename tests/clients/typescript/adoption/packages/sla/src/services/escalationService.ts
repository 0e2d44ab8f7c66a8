/** What of AlgaPSA's escalation service the page uses. */

import { tenantDb } from "@alga-psa/db";
import type { Knex } from "knex";

type Level = 1 | 2 | 3;

/** The level that the ticket's target asks for at a percent, if it is above that of the ticket. */
export async function checkEscalationNeeded(
  trx: Knex.Transaction,
  tenant: string,
  ticketId: string,
  elapsedPercent: number,
): Promise<Level | null> {
  const db = tenantDb(trx, tenant);
  const ticket = await db.table("tickets").where({ ticket_id: ticketId }).first();
  if (!ticket?.sla_policy_id || !ticket.priority_id) {
    return null;
  }
  const { sla_policy_id, priority_id } = ticket;
  const target = await db.table("sla_policy_targets").where({ sla_policy_id, priority_id }).first();
  for (const level of [3, 2, 1] as const) {
    const percent = target?.[`escalation_${level}_percent`];
    if (percent && elapsedPercent >= percent && (ticket.escalation_level ?? 0) < level) {
      return level;
    }
  }
  return null;
}

/**
 * Never raises. What fails behind the change of the ticket is not even reported: a resource that the table does not
 * take, and then every other statement of the transaction, which PostgreSQL has given up.
 */
export async function escalateTicket(
  trx: Knex.Transaction,
  tenant: string,
  ticketId: string,
  newLevel: Level,
): Promise<{ success: boolean; error?: string }> {
  try {
    const db = tenantDb(trx, tenant);
    const rows = () => db.table("tickets").where({ ticket_id: ticketId });
    const ticket = await rows().first("assigned_to");
    if (!ticket) {
      return { success: false, error: "Ticket not found" };
    }
    await rows().update({ escalated: true, escalation_level: newLevel });
    const manager = await db.table("escalation_managers").where({ escalation_level: newLevel }).first();
    if (manager) {
      const assigned = { assigned_to: ticket.assigned_to, additional_user_id: manager.manager_user_id };
      await trx("ticket_resources")
        .insert({ tenant, ticket_id: ticketId, ...assigned, role: `escalation_manager_L${newLevel}` })
        .catch(() => undefined);
    }
    const event_data = { level: newLevel };
    await trx("sla_audit_log")
      .insert({ tenant, ticket_id: ticketId, event_type: "ticket_escalated", event_data })
      .catch(() => undefined);
    return { success: true };
  } catch (error) {
    return { success: false, error: String(error) };
  }
}
