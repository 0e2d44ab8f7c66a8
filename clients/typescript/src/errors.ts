/** What slad answers when it does not do what was asked: one error class for each gRPC status. */

import { type ServiceError, status as Status } from "@grpc/grpc-js";
import type { Any } from "./stubs/google/protobuf/any.js";
import { BadRequest, ErrorInfo, RetryInfo } from "./stubs/google/rpc/error_details.js";
import { Status as RpcStatus } from "./stubs/google/rpc/status.js";

/** One field of a request that cannot be accepted. */
export interface FieldViolation {
  /** The path as in the request: `schedule.entries[2].end_time`. */
  field: string;
  /** For people. */
  description: string;
  /** For programs: a stable upper-case word. */
  reason: string;
}

/** What is known of an error beside its status and message. */
export interface SladErrorDetails {
  reason?: string;
  metadata?: Readonly<Record<string, string>>;
  violations?: readonly FieldViolation[];
  retryDelayMs?: number;
  requestId?: string;
  cause?: unknown;
}

const KIND = Symbol.for("@slad/client.error");

/**
 * A call that failed. `instanceof` also holds across copies of this package (ESM beside CommonJS, or several
 * bundles of one application).
 */
export class SladError extends Error {
  /** The gRPC status, as a number. */
  readonly code: number;
  /** The gRPC status, as a word: `NOT_FOUND`. */
  readonly status: string;
  /** Why, as a stable upper-case word (`TRACKING_COMPLETED`); empty when the status is not slad's own. */
  readonly reason: string;
  /** Further facts, such as how and when a tracking ended. */
  readonly metadata: Readonly<Record<string, string>>;
  /** What is wrong with the request; only with InvalidArgument. */
  readonly violations: readonly FieldViolation[];
  /** How long slad asks to wait before the call is repeated, ms; with Unavailable and ResourceExhausted. */
  readonly retryDelayMs: number | undefined;
  /**
   * The request_id under which a command was sent, its outcome perhaps unknown: to send the same command again
   * with this id is safe. Empty for other calls.
   */
  readonly requestId: string;

  constructor(code: number, message: string, details: SladErrorDetails = {}) {
    super(message, { cause: details.cause });
    this.name = new.target.name;
    this.code = code;
    this.status = Status[code] ?? "UNKNOWN";
    this.reason = details.reason ?? "";
    this.metadata = details.metadata ?? {};
    this.violations = details.violations ?? [];
    this.retryDelayMs = details.retryDelayMs;
    this.requestId = details.requestId ?? "";
    Object.defineProperty(this, KIND, { value: code });
  }

  /** The path of the first field that is wrong, as in the request; empty if none is named. */
  get field(): string {
    return this.violations[0]?.field ?? "";
  }

  static override [Symbol.hasInstance](
    this: { readonly CODE?: number; prototype: object },
    value: unknown,
  ): boolean {
    if (typeof value !== "object" || value === null || !(KIND in value)) {
      return false;
    }
    if (this === SladError) {
      return true;
    }
    // A class of a caller's own, derived from one of these, is told apart by its prototype.
    return Object.hasOwn(this, "CODE")
      ? (value as { [KIND]: number })[KIND] === this.CODE
      : Object.prototype.isPrototypeOf.call(this.prototype, value);
  }
}

/** The request can never be right. Also what this package refuses before anything is sent. */
export class InvalidArgument extends SladError {
  static readonly CODE = Status.INVALID_ARGUMENT;
}
/** There is no such tracking, or no such consumer. */
export class NotFound extends SladError {
  static readonly CODE = Status.NOT_FOUND;
}
/** The ticket is live, and the start was to fail if so. */
export class AlreadyExists extends SladError {
  static readonly CODE = Status.ALREADY_EXISTS;
}
/** Not as things stand: the tracking has ended, the tenant is ambiguous, the request_id is another's. */
export class FailedPrecondition extends SladError {
  static readonly CODE = Status.FAILED_PRECONDITION;
}
/** An acknowledgement of what was not sent, or is behind. */
export class OutOfRange extends SladError {
  static readonly CODE = Status.OUT_OF_RANGE;
}
/** Too much at once, or too large a message. */
export class ResourceExhausted extends SladError {
  static readonly CODE = Status.RESOURCE_EXHAUSTED;
}
/** slad is not there, is stopping, or is overloaded, and stayed so through all retries. */
export class Unavailable extends SladError {
  static readonly CODE = Status.UNAVAILABLE;
}
/** No answer in time. A command may have been carried out all the same (see `requestId`). */
export class DeadlineExceeded extends SladError {
  static readonly CODE = Status.DEADLINE_EXCEEDED;
}
/** The call was cancelled on its way, by its signal or because the client was closed. */
export class Cancelled extends SladError {
  static readonly CODE = Status.CANCELLED;
}
/** An error of slad itself; its log says more. Or of the connection, when there is no `reason`. */
export class Internal extends SladError {
  static readonly CODE = Status.INTERNAL;
}
/** This slad does not know the call. */
export class Unimplemented extends SladError {
  static readonly CODE = Status.UNIMPLEMENTED;
}
/** slad, or something before it, wants to know who is calling. */
export class Unauthenticated extends SladError {
  static readonly CODE = Status.UNAUTHENTICATED;
}
/** slad, or something before it, does not allow the call. */
export class PermissionDenied extends SladError {
  static readonly CODE = Status.PERMISSION_DENIED;
}

const CLASSES = new Map(
  [
    InvalidArgument,
    NotFound,
    AlreadyExists,
    FailedPrecondition,
    OutOfRange,
    ResourceExhausted,
    Unavailable,
    DeadlineExceeded,
    Cancelled,
    Internal,
    Unimplemented,
    Unauthenticated,
    PermissionDenied,
  ].map((kind) => [kind.CODE as number, kind]),
);

const TYPE = "type.googleapis.com/google.rpc.";

/** The typed error for one that gRPC gave. */
export function fromServiceError(error: ServiceError, requestId = ""): SladError {
  const details = { ...detailsOf(anyDetails(error)), requestId, cause: error };
  return errorOf(error.code, error.details || error.message, details);
}

/** The typed error for a status in a message. */
export function fromStatus({ code, message, details }: RpcStatus, requestId: string): SladError {
  return errorOf(code, message, { ...detailsOf(details), requestId });
}

function detailsOf(any: readonly Any[]): SladErrorDetails {
  const details: SladErrorDetails = {};
  for (const { type_url, value } of any) {
    if (type_url === `${TYPE}ErrorInfo`) {
      const info = ErrorInfo.decode(value);
      details.reason = info.reason;
      details.metadata = info.metadata;
    } else if (type_url === `${TYPE}BadRequest`) {
      details.violations = BadRequest.decode(value).field_violations.map(
        ({ field, description, reason }) => ({
          field,
          description,
          reason,
        }),
      );
    } else if (type_url === `${TYPE}RetryInfo`) {
      const delay = RetryInfo.decode(value).retry_delay;
      details.retryDelayMs = delay ? delay.seconds * 1_000 + delay.nanos / 1e6 : undefined;
    }
  }
  return details;
}

/** The same error of another command: many may fail of one cause. */
export function errorAbout(error: SladError, requestId: string): SladError {
  const { code, message, reason, metadata, violations, retryDelayMs, cause } = error;
  return errorOf(code, message, { reason, metadata, violations, retryDelayMs, requestId, cause });
}

/** The error of a status. */
export function errorOf(code: number, message: string, details: SladErrorDetails = {}): SladError {
  return new (CLASSES.get(code) ?? SladError)(code, message, details);
}

/** What this package itself refuses, in the form in which slad does. */
export function invalid(field: string, reason: string, description: string): InvalidArgument {
  return new InvalidArgument(Status.INVALID_ARGUMENT, `${field}: ${description}`, {
    reason,
    violations: [{ field, reason, description }],
  });
}

function anyDetails(error: ServiceError): readonly Any[] {
  const [bytes] = error.metadata?.get("grpc-status-details-bin") ?? [];
  if (!(bytes instanceof Uint8Array)) {
    return [];
  }
  try {
    return RpcStatus.decode(bytes).details;
  } catch {
    // Not a google.rpc.Status: something in between has put it there.
    return [];
  }
}
