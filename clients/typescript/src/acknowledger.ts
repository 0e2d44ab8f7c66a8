/** Tells slad up to where a consumer has dealt with its events, now and then, in the background. */

import { DeadlineExceeded, OutOfRange, type SladError, Unavailable } from "./errors.js";

/** How often slad is told. */
export interface AckPolicy {
  /** After so many events. Default 100. */
  ackEvery?: number;
  /** Or after so many ms, whichever is first. Default 1,000. */
  ackIntervalMs?: number;
}

/** Sends one acknowledgement, once, within a bounded time. Raises SladError. */
export type SendAck = (sequence: number) => Promise<void>;

export class Acknowledger {
  private dealt = 0;
  private acknowledged = 0;
  private since = 0;
  private sending: Promise<void> | undefined;
  private timer: NodeJS.Timeout | undefined;
  private readonly every: number;
  private readonly intervalMs: number;
  /** The error with which slad refused an acknowledgement for good. */
  refusal: SladError | undefined;

  constructor(
    private readonly send: SendAck,
    policy: AckPolicy,
  ) {
    this.every = policy.ackEvery ?? 100;
    this.intervalMs = policy.ackIntervalMs ?? 1_000;
  }

  /** Everything up to `sequence` has been dealt with. */
  deal(sequence: number): void {
    if (sequence <= this.dealt) {
      return;
    }
    this.dealt = sequence;
    this.since += 1;
    if (this.since >= this.every) {
      void this.flush();
    } else {
      this.timer ??= setTimeout(() => void this.flush(), this.intervalMs);
    }
  }

  /** Sends what has not been sent; when that fails for now, a later one does instead. Never raises. */
  async flush(): Promise<void> {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.since = 0;
    await this.sending;
    if (this.dealt <= this.acknowledged || this.refusal || this.sending) {
      return this.sending;
    }
    this.sending = this.sendOne(this.dealt).finally(() => {
      this.sending = undefined;
    });
    return this.sending;
  }

  private async sendOne(sequence: number): Promise<void> {
    try {
      await this.send(sequence);
      this.acknowledged = sequence;
    } catch (raised) {
      const error = raised as SladError;
      if (error instanceof Unavailable || error instanceof DeadlineExceeded) {
        this.timer ??= setTimeout(() => void this.flush(), this.intervalMs);
      } else if (error instanceof OutOfRange && error.reason === "ACK_BEHIND") {
        // Another replica has come further.
        this.acknowledged = sequence;
      } else {
        this.refusal = error;
      }
    }
  }

  /** Sends the last one, and rests. */
  async stop(): Promise<void> {
    await this.flush();
    clearTimeout(this.timer);
    this.timer = undefined;
  }
}
