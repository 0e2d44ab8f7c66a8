/** Events whose handlers keep failing, set aside so that those of other tickets go on. */

import { messageFromJson } from "../json.js";
import { SlaEvent } from "../stubs/slad/v1/types.js";

/** An event that was set aside. */
export interface ParkedEvent {
  event: SlaEvent;
  /** How often its handlers were tried; 0: it waits behind an earlier event of the same ticket. */
  attempts: number;
  /** What the last try failed with; empty when it was not tried. */
  error: string;
  parkedAt: Date;
  /** The handlers that have resolved already, and are not called again. */
  resolved: string[];
}

/**
 * Where parked events are kept. One that is kept here is acknowledged to slad, so it has to be as durable as the
 * work itself: a table of the PSA's database, with `event_id` as its key.
 */
export interface ParkingLot {
  /** Keeps an event; one that is there already is replaced. */
  put(parked: ParkedEvent): Promise<void>;
  /** All of them, in order of sequence. */
  list(): Promise<ParkedEvent[]>;
  /** Forgets one; nothing if it is not there. */
  remove(eventId: string): Promise<void>;
}

/**
 * Without a parking lot of the PSA's: in memory, and therefore not acknowledged. After a restart slad sends them
 * again, and with them what came after.
 */
export class MemoryParkingLot implements ParkingLot {
  private readonly events = new Map<string, ParkedEvent>();

  async put(parked: ParkedEvent): Promise<void> {
    this.events.set(parked.event.event_id, parked);
  }

  async list(): Promise<ParkedEvent[]> {
    return [...this.events.values()].sort((a, b) => a.event.sequence - b.event.sequence);
  }

  async remove(eventId: string): Promise<void> {
    this.events.delete(eventId);
  }
}

/** A parked event as text, for a column of JSON. */
export function parkedToJson(parked: ParkedEvent): string {
  return JSON.stringify(parked);
}

/** The parked event that `parkedToJson` wrote. */
export function parkedFromJson(text: string): ParkedEvent {
  const { event, parkedAt, ...rest } = JSON.parse(text);
  const whole = SlaEvent.fromPartial(messageFromJson("SlaEvent", event));
  return { ...rest, parkedAt: new Date(parkedAt), event: whole };
}
