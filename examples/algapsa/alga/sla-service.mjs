/**
 * What AlgaPSA's SLA services do to a ticket: a change of its row, a line in the audit log, and calls to the
 * backend once the transaction is over. The oddities are AlgaPSA's: a change of policy or priority starts the clock
 * of a closed ticket, and says nothing of thresholds; the line of a resumption has a reason, which is null.
 */

import { BOARD_MANAGER, scheduleOf, TENANT, THRESHOLDS, targetOf } from "../desk.mjs";

export class SlaService {
  /**
   * @param {import("./database.mjs").Database} database
   * @param {import("@slad/client").ISlaBackend} backend
   * @param {() => Promise<void>} commit what a transaction takes: rows are written before the backend is called
   */
  constructor(database, backend, commit) {
    this.database = database;
    this.backend = backend;
    this.commit = commit;
    /** The time of this host. */
    this.now = new Date(0);
    /** What the dispatcher has logged and swallowed. */
    this.swallowed = [];
  }

  async open(id, { policy, priority, assignee }) {
    const started = this.now;
    this.database.insertTicket({
      ticket_id: id,
      priority_id: priority,
      assigned_to: assignee,
      board_manager: BOARD_MANAGER,
      closed_at: null,
      sla_policy_id: policy,
      sla_started_at: started,
      sla_response_due_at: null,
      sla_response_at: null,
      sla_response_met: null,
      sla_resolution_due_at: null,
      sla_resolution_at: null,
      sla_resolution_met: null,
      sla_paused_at: null,
      escalation_level: null,
      attributes: {},
    });
    this.log(id, "sla_started", { policy_id: policy }, started);
    await this.dispatch([
      this.startOf(
        id,
        THRESHOLDS[policy].map(({ percent }) => percent),
      ),
    ]);
  }

  /** The response state of the ticket becomes "awaiting client". */
  askClient(id) {
    return this.pause(id, "awaiting_client");
  }

  /** A status that is configured to stop the clock, such as "waiting for parts". */
  putOnHold(id) {
    return this.pause(id, "status_pause");
  }

  async pause(id, reason) {
    const paused = this.now;
    this.ticket(id).sla_paused_at = paused;
    this.log(id, "sla_paused", { paused_at: paused.toISOString(), reason }, paused);
    await this.dispatch([["pauseSla", id, reason]]);
  }

  async goOn(id) {
    const row = this.ticket(id);
    const resumed = this.now;
    const data = {
      resumed_at: resumed.toISOString(),
      paused_at: row.sla_paused_at.toISOString(),
      reason: null,
    };
    row.sla_paused_at = null;
    this.log(id, "sla_resumed", data, resumed);
    await this.dispatch([["resumeSla", id]]);
  }

  /** The first public comment of a technician. */
  async respond(id) {
    const row = this.ticket(id);
    row.sla_response_at = this.now;
    row.sla_response_met = row.sla_response_due_at && row.sla_response_at <= row.sla_response_due_at;
    this.log(id, "response_recorded", { met: row.sla_response_met }, row.sla_response_at);
    // A target without a response time has no verdict, and the backend is not told.
    if (row.sla_response_met !== null) {
      await this.dispatch([["completeSla", id, "response", row.sla_response_met]]);
    }
  }

  async close(id) {
    const row = this.ticket(id);
    row.closed_at = row.sla_resolution_at = this.now;
    row.sla_resolution_met = row.sla_resolution_due_at && row.closed_at <= row.sla_resolution_due_at;
    this.log(id, "resolution_recorded", { met: row.sla_resolution_met }, row.closed_at);
    await this.dispatch([["completeSla", id, "resolution", row.sla_resolution_met]]);
  }

  async changePriority(id, priority) {
    const row = this.ticket(id);
    row.priority_id = priority;
    this.log(id, "priority_changed", { new_priority_id: priority }, this.now);
    if (!row.sla_response_at || !row.sla_resolution_at) {
      await this.dispatch([["cancelSla", TENANT, id], this.startOf(id)]);
    }
  }

  /** Null takes the policy away. */
  async changePolicy(id, policy) {
    this.ticket(id).sla_policy_id = policy;
    const event = policy === null ? "sla_policy_cleared" : "sla_policy_changed";
    this.log(id, event, { new_policy_id: policy }, this.now);
    await this.dispatch([["cancelSla", TENANT, id], ...(policy === null ? [] : [this.startOf(id)])]);
  }

  async assign(id, assignee) {
    this.ticket(id).assigned_to = assignee;
  }

  async delete(id) {
    this.database.deleteTicket(id);
    await this.dispatch([["cancelSla", TENANT, id]]);
  }

  ticket(id) {
    return this.database.tickets.get(id);
  }

  startOf(id, thresholds) {
    const { sla_policy_id: policy, priority_id: priority } = this.ticket(id);
    const target = targetOf(policy, priority);
    return ["startSlaTracking", id, policy, [target], scheduleOf(target), thresholds];
  }

  log(id, eventType, eventData, at) {
    this.database.insertAudit(id, eventType, eventData, at);
  }

  /** Errors are logged, and that is all. */
  async dispatch(actions) {
    await this.commit();
    for (const [method, ...args] of actions) {
      try {
        await this.backend[method](...args);
      } catch (error) {
        this.swallowed.push(`${method} ${method === "cancelSla" ? args[1] : args[0]}: ${error.reason}`);
      }
    }
  }
}
