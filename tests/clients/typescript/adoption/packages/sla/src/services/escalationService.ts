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

/** Never raises. The audit line needs the ticket. */
export async function escalateTicket(
  trx: Knex.Transaction,
  tenant: string,
  ticketId: string,
  newLevel: Level,
): Promise<{ success: boolean; error?: string }> {
  try {
    const db = tenantDb(trx, tenant);
    const rows = () => db.table("tickets").where({ ticket_id: ticketId });
    if (!(await rows().first("ticket_id"))) {
      return { success: false, error: "Ticket not found" };
    }
    await rows().update({ escalated: true, escalation_level: newLevel });
    const event_data = { level: newLevel };
    await trx("sla_audit_log").insert({ tenant, ticket_id: ticketId, event_type: "escalation", event_data });
    return { success: true };
  } catch (error) {
    return { success: false, error: String(error) };
  }
}
