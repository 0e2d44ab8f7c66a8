/** When calls are repeated, and how long is waited before. */

import { status as Status } from "@grpc/grpc-js";
import { Cancelled, type SladError, Unavailable } from "./errors.js";

/**
 * How calls are repeated: after UNAVAILABLE, and commands after DEADLINE_EXCEEDED too, as their request_id makes
 * that safe. Never otherwise. The whole call, retries and pauses included, ends with its timeout. The pause
 * before a retry is random between nothing and a bound that doubles each time ("full jitter"); when slad asks
 * for a pause, that comes first.
 */
export interface RetryPolicy {
  /** How often a call is sent at most; 1: no retries. A pipeline goes on until its timeout, but for 1. Default 6. */
  attempts: number;
  /** After so many ms a command that has no answer is sent again. At most the call's timeout. Default 2,000. */
  attemptTimeoutMs: number;
  /** The first bound of the random pause, ms. Default 100. */
  firstDelayMs: number;
  /** The last one. Default 2,000. */
  maxDelayMs: number;
}

export const DEFAULT_RETRY: Readonly<RetryPolicy> = {
  attempts: 6,
  attemptTimeoutMs: 2_000,
  firstDelayMs: 100,
  maxDelayMs: 2_000,
};

/** Every call is sent once. */
export const NO_RETRY: Readonly<RetryPolicy> = { ...DEFAULT_RETRY, attempts: 1 };

/** Queries change nothing, and are repeated when they did not arrive. */
export const RETRIED_QUERY: ReadonlySet<number> = new Set([Status.UNAVAILABLE]);
/** A command may have been carried out when no answer comes; its request_id makes the repetition safe. */
export const RETRIED_COMMAND: ReadonlySet<number> = new Set([Status.UNAVAILABLE, Status.DEADLINE_EXCEEDED]);

const MAX_DOUBLINGS = 30;
/** With less time left, another attempt would only hide what the last one failed with. */
const MIN_ATTEMPT_MS = 20;

/** Ms to wait after so many failures in a row, when slad asks for at least `asked`. */
export function delayAfter(
  failures: number,
  policy: Pick<RetryPolicy, "firstDelayMs" | "maxDelayMs">,
  asked = 0,
): number {
  const bound = Math.min(policy.maxDelayMs, policy.firstDelayMs * 2 ** Math.min(failures - 1, MAX_DOUBLINGS));
  return asked + Math.random() * bound;
}

/**
 * Sends a call until it is answered, or may not be sent again, or its time is over. `send` gets the ms that the
 * attempt may take. Raises the error of the last attempt, or Cancelled when `signal` was aborted.
 */
export async function withRetries<Reply>(
  send: (timeoutMs: number) => Promise<Reply>,
  policy: RetryPolicy,
  retried: ReadonlySet<number>,
  timeoutMs: number,
  signal?: AbortSignal,
): Promise<Reply> {
  const deadline = performance.now() + timeoutMs;
  const resent = policy.attempts > 1 && retried.has(Status.DEADLINE_EXCEEDED);
  for (let failures = 1; ; failures += 1) {
    const left = Math.max(0, deadline - performance.now());
    try {
      return await send(resent ? Math.min(left, policy.attemptTimeoutMs) : left);
    } catch (raised) {
      const error = raised as SladError;
      if (!retried.has(error.code) || failures >= policy.attempts) {
        throw error;
      }
      const delay = delayAfter(failures, policy, error.retryDelayMs);
      if (performance.now() + delay >= deadline) {
        throw error;
      }
      await sleep(delay, signal);
      if (deadline - performance.now() < MIN_ATTEMPT_MS) {
        throw error;
      }
    }
  }
}

/** Waits. Raises Cancelled when `signal` is, or was, aborted. */
export function sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const aborted = () => {
      clearTimeout(timer);
      reject(cancelled());
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", aborted);
      resolve();
    }, milliseconds);
    if (signal?.aborted) {
      aborted();
    }
    signal?.addEventListener("abort", aborted, { once: true });
  });
}

const BROKEN: ReadonlySet<number> = new Set([Status.UNAVAILABLE, Status.CANCELLED, Status.INTERNAL]);

/** Whether a stream ended with this because the connection or slad went away. */
export function isBroken(error: SladError): boolean {
  // slad's own INTERNAL has a reason; without one it is the connection that broke.
  return BROKEN.has(error.code) && !(error.code === Status.INTERNAL && error.reason);
}

/** What a stream ends with that ended without a word, and should not have. */
export function streamEnded(): Unavailable {
  return new Unavailable(Status.UNAVAILABLE, "the stream ended");
}

/** What calls end with that their caller gave up. */
export function cancelled(message = "the call was cancelled"): Cancelled {
  return new Cancelled(Status.CANCELLED, message);
}
