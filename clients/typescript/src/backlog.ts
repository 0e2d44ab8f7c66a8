/**
 * The commands of a pipeline, with no input or output of their own: which go into which message, whose result is
 * whose, and what becomes of commands whose stream broke.
 */

import { status as Status } from "@grpc/grpc-js";
import {
  DeadlineExceeded,
  errorAbout,
  errorOf,
  fromStatus,
  Internal,
  ResourceExhausted,
  SladError,
} from "./errors.js";
import { delayAfter, isBroken, RETRIED_COMMAND, type RetryPolicy, streamEnded } from "./retry.js";
import {
  type ExecuteSlaRequest,
  type ExecuteSlaResponse,
  SlaCommand,
  type SlaResult,
} from "./stubs/slad/v1/sla_backend.js";

/** Commands of a stream that have no result yet; slad reads no further then. */
export const MAX_UNDER_WAY = 1_024;
/** Commands of a message. slad would take 1,000; but while one is carried out the next is to be on its way. */
export const PER_MESSAGE = 128;
/** Of several commands. A single one may be longer. */
export const MAX_MESSAGE_BYTES = 1 << 20;
/** slad takes messages of 4 MiB. */
const MAX_COMMAND_BYTES = (4 << 20) - 64;

/** What became of a command: a result with the field of the command, or an error. */
export type Outcome = Omit<SlaResult, "error"> | Error;

/** A command without a result. */
export interface Pending {
  readonly number: number;
  readonly command: SlaCommand;
  readonly requestId: string;
  readonly bytes: number;
  /** It is not to be sent again. */
  readonly once: boolean;
  /** Told once; undefined: its caller has been told. */
  settle: ((outcome: Outcome) => void) | undefined;
}

/** How a pipeline sends. */
export interface PipelineSettings {
  /** Ms after which a pipeline that nothing was heard of gives up. */
  readonly timeoutMs: number;
  readonly retry: RetryPolicy;
  readonly omitStatus: boolean;
}

/** The commands of a pipeline that have no result yet, over all the streams that they take. */
export class Backlog {
  /** In the order of their numbers. */
  private waiting: Pending[] = [];
  private underWay: Pending[] = [];
  private count = 0;
  private unsettled = 0;
  /** The last answer that counts, or the first command that waits for one. */
  private answeredAt = 0;
  /** The last response, or the first message that waits for one. */
  private movedAt = 0;
  private failures = 0;
  private pause = 0;
  private trouble: SladError | undefined;

  constructor(
    private readonly settings: PipelineSettings,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** How many callers wait. */
  get size(): number {
    return this.unsettled;
  }

  /** Takes a command to be sent; `settle` is told what became of it. */
  put(command: SlaCommand, requestId: string, once: boolean, settle: (outcome: Outcome) => void): Pending {
    const bytes = SlaCommand.encode(command).finish().length;
    if (this.unsettled === 0) {
      this.answeredAt = this.now();
    }
    this.count += 1;
    this.unsettled += 1;
    once ||= this.settings.retry.attempts === 1;
    const pending: Pending = { number: this.count, command, requestId, bytes, once, settle };
    if (bytes > MAX_COMMAND_BYTES) {
      const text = `a command of ${bytes} bytes; slad takes messages of up to 4 MiB`;
      this.settle(pending, new ResourceExhausted(Status.RESOURCE_EXHAUSTED, text, { requestId }));
    } else {
      this.waiting.push(pending);
    }
    return pending;
  }

  /** What to send next; undefined when there is nothing, or no room for it. */
  message(): ExecuteSlaRequest | undefined {
    // A little room is left alone while much waits, so that messages stay large.
    if (MAX_UNDER_WAY - this.underWay.length < Math.min(this.waiting.length, PER_MESSAGE)) {
      return undefined;
    }
    const taken: Pending[] = [];
    let bytes = 0;
    let looked = 0;
    for (const pending of this.waiting) {
      if (pending.settle) {
        bytes += pending.bytes;
        if (taken.length === PER_MESSAGE || (taken.length > 0 && bytes > MAX_MESSAGE_BYTES)) {
          break;
        }
        taken.push(pending);
      }
      looked += 1;
    }
    this.waiting.splice(0, looked);
    if (taken.length === 0) {
      return undefined;
    }
    if (this.underWay.length === 0) {
      this.movedAt = this.now();
    }
    this.underWay.push(...taken);
    return { commands: taken.map(({ command }) => command), omit_status: this.settings.omitStatus };
  }

  /** Ms to wait before the next message, told once. */
  takePause(): number {
    const { pause } = this;
    this.pause = 0;
    return pause;
  }

  /**
   * Takes results, which come in the order of the commands. Raises the error for which the stream has to be given up:
   * slad refused a command for now, and what was sent behind it is not to be told, or to fail, before it. All of that
   * is sent again, in order. Or Internal, when there are too many.
   */
  answer({ results }: ExecuteSlaResponse): void {
    this.movedAt = this.now();
    for (const result of results) {
      const [pending] = this.underWay;
      if (!pending) {
        throw new Internal(Status.INTERNAL, "more results than commands");
      }
      const outcome = outcomeOf(result, pending.requestId);
      if (outcome instanceof SladError && RETRIED_COMMAND.has(outcome.code) && !pending.once) {
        throw outcome;
      }
      this.underWay.shift();
      if (pending.settle) {
        this.answeredAt = this.movedAt;
        this.failures = 0;
        this.trouble = undefined;
        this.settle(pending, outcome);
      }
    }
  }

  /** The stream has ended; undefined: without a word. What was under way is sent again, if it may be. */
  broke(error: SladError = streamEnded()): void {
    const lost = this.underWay;
    this.underWay = [];
    if (this.unsettled === 0) {
      return;
    }
    if (!isBroken(error) && !RETRIED_COMMAND.has(error.code)) {
      this.waiting = [...lost, ...this.waiting];
      this.giveUp(error);
      return;
    }
    for (const pending of lost.filter(({ once }) => once)) {
      this.drop(pending, errorAbout(error, pending.requestId));
    }
    this.waiting = [...lost, ...this.waiting];
    this.trouble = error;
    this.failures += 1;
    this.pause = delayAfter(this.failures, this.settings.retry, error.retryDelayMs);
  }

  /** Ends one command that has no result, if it has none. */
  drop(pending: Pending, error: Error): void {
    if (pending.settle) {
      this.settle(pending, error);
    }
  }

  /** Why one command, or all, ends when its time is over. */
  late(timeoutMs: number): SladError {
    const { trouble } = this;
    return trouble ?? new DeadlineExceeded(Status.DEADLINE_EXCEEDED, `no answer in ${timeoutMs} ms`);
  }

  /** Gives everything up if nothing was heard for too long. */
  expire(): void {
    const { timeoutMs } = this.settings;
    if (this.unsettled > 0 && this.now() >= this.answeredAt + timeoutMs) {
      this.giveUp(this.late(timeoutMs));
    }
  }

  /** Every command that has no result ends with `error`. */
  giveUp(error: Error): void {
    // What is under way stays there, as its results may come yet.
    const everything = [...this.underWay, ...this.waiting];
    this.waiting = [];
    this.failures = 0;
    this.trouble = undefined;
    for (const pending of everything) {
      this.drop(pending, error instanceof SladError ? errorAbout(error, pending.requestId) : error);
    }
  }

  /** Whether the stream has to be given up: slad has not said a word of what is under way. */
  get isSilent(): boolean {
    return this.underWay.length > 0 && this.now() >= this.movedAt + this.silenceMs;
  }

  /** Ms until `expire` and `isSilent` are to be asked (again). */
  dueIn(): number {
    const now = this.now();
    const movedAt = this.underWay.length > 0 ? this.movedAt : now;
    return Math.max(0, Math.min(this.answeredAt + this.settings.timeoutMs, movedAt + this.silenceMs) - now);
  }

  private get silenceMs(): number {
    const { attempts, attemptTimeoutMs } = this.settings.retry;
    return attempts === 1 ? Number.POSITIVE_INFINITY : attemptTimeoutMs;
  }

  private settle(pending: Pending, outcome: Outcome): void {
    const { settle } = pending;
    pending.settle = undefined;
    this.unsettled -= 1;
    settle?.(outcome);
  }
}

function outcomeOf(result: SlaResult, requestId: string): Outcome {
  const { error, ...reply } = result;
  if (error) {
    return fromStatus(error, requestId);
  }
  const isEmpty = Object.values(reply).every((value) => value === undefined);
  return isEmpty ? errorOf(Status.INTERNAL, "a result without an answer", { requestId }) : reply;
}
