/**
 * A PSA as far as SLA goes: it keeps tickets, and calls an ISlaBackend after each change, as AlgaPSA's services
 * do after their transaction. It keeps no due dates and sets no timers.
 */

import { NOTIFICATIONS, scheduleOf, TENANT, targetOf } from "./desk.mjs";

export class Psa {
  /** @param {import("@slad/client").ISlaBackend} backend */
  constructor(backend) {
    this.backend = backend;
    this.tickets = new Map();
  }

  async open(id, { policy, priority, assignee }) {
    this.tickets.set(id, { id, policy, priority, assignee, state: "open" });
    await this.startSla(id);
  }

  /** The response state of the ticket becomes "awaiting client". */
  async askClient(id) {
    this.tickets.get(id).state = "awaiting client";
    await this.backend.pauseSla(id, "awaiting_client");
  }

  /** A status that is configured to stop the clock, such as "waiting for parts". */
  async putOnHold(id) {
    this.tickets.get(id).state = "on hold";
    await this.backend.pauseSla(id, "status_pause");
  }

  async goOn(id) {
    this.tickets.get(id).state = "open";
    await this.backend.resumeSla(id);
  }

  /** The first public comment of a technician. */
  async respond(id) {
    await this.backend.completeSla(id, "response", null);
  }

  /** As AlgaPSA does it: the clock is cancelled and started anew, under other terms. */
  async changePriority(id, priority) {
    this.tickets.get(id).priority = priority;
    await this.backend.cancelSla(TENANT, id);
    await this.startSla(id);
  }

  assign(id, assignee) {
    this.tickets.get(id).assignee = assignee;
  }

  async close(id) {
    this.tickets.get(id).state = "closed";
    await this.backend.completeSla(id, "resolution", null);
  }

  async delete(id) {
    this.tickets.delete(id);
    await this.backend.cancelSla(TENANT, id);
  }

  async startSla(id) {
    const { policy, priority } = this.tickets.get(id);
    const target = targetOf(policy, priority);
    const thresholds = NOTIFICATIONS.map(({ percent }) => percent);
    await this.backend.startSlaTracking(id, policy, [target], scheduleOf(target), thresholds);
  }
}
