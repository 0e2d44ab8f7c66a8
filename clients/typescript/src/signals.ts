/** Signals that are aborted with others. */

import { setMaxListeners } from "node:events";

/** A signal of one's own, which is aborted when one of its sources is. */
export interface Linked {
  readonly signal: AbortSignal;
  abort(reason?: unknown): void;
  /** Lets go of the sources; to be called when the signal is not needed any more. */
  release(): void;
}

/** As AbortSignal.any, which keeps a little of every signal for as long as its sources live. */
export function linked(...sources: (AbortSignal | undefined)[]): Linked {
  const own = new AbortController();
  const taken: [AbortSignal, () => void][] = [];
  for (const source of sources) {
    if (source?.aborted) {
      own.abort(source.reason);
    } else if (source) {
      const abort = () => own.abort(source.reason);
      // Any number of calls may share a signal.
      setMaxListeners(0, source);
      source.addEventListener("abort", abort, { once: true });
      taken.push([source, abort]);
    }
  }
  return {
    signal: own.signal,
    abort: (reason) => own.abort(reason),
    release: () => {
      for (const [source, abort] of taken) {
        source.removeEventListener("abort", abort);
      }
    },
  };
}
