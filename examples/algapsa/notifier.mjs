/** The PSA's side of events: who is told of what. Inboxes stand for mail and in-app notifications. */

import { BOARD_MANAGER, ESCALATION_MANAGERS, NOTIFICATIONS } from "./desk.mjs";

export class Notifier {
  constructor(psa) {
    this.psa = psa;
    this.inboxes = new Map();
    this.verdicts = [];
  }

  /** @returns {import("@slad/client").SlaEventHandlers} */
  get handlers() {
    return {
      onNotification: (n) => {
        const ticket = this.psa.tickets.get(n.ticketId);
        const text = n.breach ? `${n.phase} target MISSED` : `${n.phase} at ${n.thresholdPercent} %`;
        const { notify } = NOTIFICATIONS.findLast(({ percent }) => percent <= n.thresholdPercent);
        for (const role of notify) {
          this.tell(role === "assignee" ? ticket.assignee : BOARD_MANAGER, n, text);
        }
      },
      onEscalation: (e) => {
        this.tell(ESCALATION_MANAGERS[e.level], e, `${e.phase} escalated to level ${e.level}`);
      },
      onRetracted: (r) => {
        this.tell(
          this.psa.tickets.get(r.ticketId).assignee,
          r,
          `${r.phase} at ${r.thresholdPercent} %: taken back`,
        );
      },
      onCompleted: (c) => {
        this.verdicts.push({ ticketId: c.ticketId, phase: c.phase, met: c.met });
      },
    };
  }

  tell(person, { occurredAt, ticketId }, text) {
    const inbox = this.inboxes.get(person) ?? [];
    inbox.push({ occurredAt, ticketId, text });
    this.inboxes.set(person, inbox);
  }
}
