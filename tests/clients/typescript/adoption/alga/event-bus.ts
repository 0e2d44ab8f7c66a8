/** What of AlgaPSA's @alga-psa/event-bus the page uses: its checks, its silence, its memory of event ids. */

export interface Published {
  tenantId: string;
  ticketId: string;
  phase: string;
  thresholdPercent: number;
  occurredAt: string;
}

interface Options {
  eventId?: string;
  strict?: boolean;
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

class EventBus {
  /** What reached the subscriber. */
  readonly handled: Published[] = [];
  /** While set, Redis is away. */
  away = false;
  private readonly seen = new Set<string>();

  async publish(
    event: { eventType: string; payload: Record<string, unknown> },
    { eventId = crypto.randomUUID(), strict = false }: Options = {},
  ): Promise<void> {
    try {
      const payload = check(event.eventType, event.payload);
      if (this.away) {
        throw new Error("The client is closed");
      }
      if (!this.seen.has(eventId)) {
        this.seen.add(eventId);
        this.handled.push(payload);
      }
    } catch (error) {
      if (strict) {
        throw error;
      }
    }
  }
}

/** As its schema does. */
function check(eventType: string, payload: Record<string, unknown>): Published {
  const { tenantId, ticketId, phase, thresholdPercent, occurredAt } = payload as unknown as Published;
  if (eventType !== "TICKET_SLA_THRESHOLD_REACHED") {
    throw new Error(`Unknown event type: ${eventType}`);
  }
  const isWhole = Number.isInteger(thresholdPercent) && thresholdPercent >= 0 && thresholdPercent <= 100;
  const isValid = [tenantId, ticketId].every((id) => UUID.test(id)) && isWhole;
  if (!isValid || !["response", "resolution"].includes(phase) || Number.isNaN(Date.parse(occurredAt))) {
    throw new Error(`invalid payload: ${JSON.stringify(payload)}`);
  }
  return { tenantId, ticketId, phase, thresholdPercent, occurredAt };
}

const bus = new EventBus();

export function getEventBus(): EventBus {
  return bus;
}
