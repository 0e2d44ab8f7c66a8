/** Which handlers an event goes to, and with what. */

import type { SlaEvent } from "../stubs/slad/v1/types.js";
import {
  auditOf,
  factsOf,
  phaseOf,
  type SlaAuditEntry,
  type SlaBreach,
  type SlaCompletion,
  type SlaEscalation,
  type SlaNotification,
  type SlaRetraction,
  thresholdOf,
} from "./arguments.js";

/** What a handler may want to know of the delivery. */
export interface HandlerContext {
  /** The event as slad sent it. */
  event: SlaEvent;
  /** 1 for the first try. */
  attempt: number;
  /** Aborted when the consumer stops, or the handler has taken too long. */
  signal: AbortSignal;
}

export type Handler<Facts> = (facts: Facts, context: HandlerContext) => unknown;

/** An event counts as dealt with when all the handlers that it goes to have resolved. */
export interface SlaEventHandlers {
  /**
   * People are to be told of a threshold. Not called for one with which a higher one fired of which people are
   * told as well.
   */
  onNotification?: Handler<SlaNotification>;
  /** An escalation level begins. */
  onEscalation?: Handler<SlaEscalation>;
  /** A clock reached 100 %. */
  onBreach?: Handler<SlaBreach>;
  /** The response was given, or the ticket resolved: once for each phase (again only if facts arrive late). */
  onCompleted?: Handler<SlaCompletion>;
  /** A threshold that was announced is not true after all. */
  onRetracted?: Handler<SlaRetraction>;
  /** Every event, after the others. */
  onAny?: Handler<SlaAuditEntry>;
}

/** One thing to do for an event; the name is that of the handler. */
export interface Task {
  name: keyof SlaEventHandlers;
  run(context: HandlerContext): unknown;
}

/** What is to be done for an event, in order. */
export function tasksFor(event: SlaEvent, handlers: SlaEventHandlers): Task[] {
  const tasks: Task[] = [];
  const add = <Facts>(
    name: keyof SlaEventHandlers,
    handler: Handler<Facts> | undefined,
    facts: () => Facts,
  ) => {
    if (handler) {
      tasks.push({ name, run: (context) => handler.call(handlers, facts(), context) });
    }
  };
  const { threshold } = event;
  if (event.type === "SLA_EVENT_TYPE_THRESHOLD_REACHED" && threshold) {
    if (threshold.notification && !threshold.notification_superseded) {
      add("onNotification", handlers.onNotification, () => ({
        ...thresholdOf(event),
        breach: threshold.breach,
      }));
    }
    if (threshold.escalation_level > 0) {
      const level = threshold.escalation_level as 1 | 2 | 3;
      add("onEscalation", handlers.onEscalation, () => ({ ...thresholdOf(event), level }));
    }
    if (threshold.breach) {
      add("onBreach", handlers.onBreach, () => ({ ...thresholdOf(event), breached: true as const }));
    }
  } else if (event.type === "SLA_EVENT_TYPE_THRESHOLD_RETRACTED" && threshold) {
    add("onRetracted", handlers.onRetracted, () => ({
      ...thresholdOf(event),
      notification: threshold.notification,
      level: threshold.escalation_level as 0 | 1 | 2 | 3,
      breach: threshold.breach,
    }));
  } else if (isCompletion(event)) {
    add("onCompleted", handlers.onCompleted, () => {
      const met = event.met ?? null;
      return { ...factsOf(event), phase: phaseOf(event) ?? "resolution", met, breached: met === false };
    });
  }
  add("onAny", handlers.onAny, () => auditOf(event));
  return tasks;
}

/** The resolution's own PHASE_COMPLETED is left out: COMPLETED follows, also when there is no resolution clock. */
function isCompletion(event: SlaEvent): boolean {
  return (
    event.type === "SLA_EVENT_TYPE_COMPLETED" ||
    (event.type === "SLA_EVENT_TYPE_PHASE_COMPLETED" && event.phase === "SLA_PHASE_RESPONSE")
  );
}
