/** Watching events over all the streams that this takes. */

import { Acknowledger, type AckPolicy, type SendAck } from "./acknowledger.js";
import { type Connection, endQuietly, isServiceError } from "./connection.js";
import { fromServiceError, invalid, type SladError } from "./errors.js";
import { delayAfter, isBroken, type RetryPolicy, sleep, streamEnded } from "./retry.js";
import { type Linked, linked } from "./signals.js";
import {
  SlaBackendService,
  WatchSlaEventsRequest,
  type WatchSlaEventsResponse,
} from "./stubs/slad/v1/sla_backend.js";
import type { SlaEvent } from "./stubs/slad/v1/types.js";

/** How events are watched. */
export interface WatchOptions extends AckPolicy {
  /** Ends the iteration when it is aborted. */
  signal?: AbortSignal;
  /**
   * An event counts as dealt with when the next one is asked for, and slad is told (see `ackEvery`,
   * `ackIntervalMs`) and when the iteration ends. An event in whose handling it ends comes again to the next. If
   * slad refuses an acknowledgement, its error is raised in place of the next event. Default false.
   */
  acknowledge?: boolean;
  /** Whether to watch again when the stream breaks. Default true. */
  reconnect?: boolean;
  /** The pauses between streams. By default the client's. */
  retry?: Partial<RetryPolicy>;
  /** Told of each stream that is open, and of each that broke. */
  onStream?: (change: "open" | "broken", error?: SladError) => void;
}

/** How long an acknowledgement may take; it also bounds the end of the watch. */
export const ACK_TIMEOUT_MS = 2_000;

interface Watch extends WatchOptions {
  retry: RetryPolicy;
  closing: AbortSignal;
  sendAck: SendAck;
}

/** See SladClient.watchSlaEvents. */
export function watchEvents(
  connection: Connection,
  request: Partial<WatchSlaEventsRequest>,
  watch: Watch,
): AsyncIterableIterator<SlaEvent> {
  const leaving = linked(watch.closing, watch.signal);
  const events = iterate(connection, request, watch, leaving);
  return {
    next: () => events.next(),
    // A generator that waits for an event would not hear of it before there is one.
    return: (value) => {
      leaving.abort();
      return events.return(value);
    },
    throw: (error) => {
      leaving.abort();
      return events.throw(error);
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}

async function* iterate(
  connection: Connection,
  request: Partial<WatchSlaEventsRequest>,
  watch: Watch,
  { signal, release }: Linked,
): AsyncGenerator<SlaEvent, void, undefined> {
  if (watch.acknowledge && !request.consumer) {
    release();
    throw invalid("consumer", "REQUIRED", "only a named consumer can acknowledge events");
  }
  const acknowledger = watch.acknowledge ? new Acknowledger(watch.sendAck, watch) : undefined;
  let last: number | undefined;
  let failures = 0;
  try {
    while (!signal.aborted) {
      let error: SladError;
      // A consumer goes on where slad knows it is, a look after what it has seen.
      const from = request.consumer || last === undefined ? {} : { after_sequence: last };
      const full = WatchSlaEventsRequest.fromPartial({ ...request, ...from });
      const stream = await connection.serverStream(SlaBackendService.watchSlaEvents, full);
      const cancel = () => stream.cancel();
      signal.addEventListener("abort", cancel, { once: true });
      if (signal.aborted) {
        cancel();
      }
      stream.once("metadata", () => watch.onStream?.("open"));
      try {
        for await (const reply of stream as AsyncIterable<WatchSlaEventsResponse>) {
          failures = 0;
          for (const event of reply.events) {
            if (last !== undefined && event.sequence <= last) {
              continue;
            }
            last = event.sequence;
            yield event;
            acknowledger?.deal(event.sequence);
            if (acknowledger?.refusal) {
              throw acknowledger.refusal;
            }
            if (signal.aborted) {
              return;
            }
          }
        }
        error = streamEnded();
      } catch (raised) {
        if (!isServiceError(raised)) {
          throw raised;
        }
        error = fromServiceError(raised);
      } finally {
        signal.removeEventListener("abort", cancel);
        endQuietly(stream);
      }
      if (signal.aborted) {
        return;
      }
      if (!isBroken(error) || watch.reconnect === false) {
        throw error;
      }
      failures += 1;
      watch.onStream?.("broken", error);
      await sleep(delayAfter(failures, watch.retry, error.retryDelayMs), signal).catch(() => undefined);
    }
  } finally {
    release();
    await acknowledger?.stop();
  }
}
