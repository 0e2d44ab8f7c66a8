/** The methods that change a ticket: the client's, and those of a pipeline. */

import type { MethodDefinition } from "@grpc/grpc-js";
import type { Input } from "./checks.js";
import type { RetryPolicy } from "./retry.js";
import * as rpc from "./stubs/slad/v1/sla_backend.js";
import type { SlaStatus } from "./stubs/slad/v1/types.js";

/** What holds for one call. */
export interface CallOptions {
  /** Ms for the whole call, retries included. By default the client's. */
  timeoutMs?: number;
  /** By default the client's. */
  retry?: Partial<RetryPolicy>;
  /** Gives the call up when it is aborted. */
  signal?: AbortSignal;
}

/** A reply whose status is always there. */
export type WithStatus<Reply> = Omit<Reply, "status"> & { status: SlaStatus };

/** The reply to a command; with `Omitted`, without the status. */
export type Told<Reply, Omitted extends boolean> = Omitted extends true
  ? Omit<Reply, "status">
  : WithStatus<Reply>;

const { SlaBackendService } = rpc;

/** What takes commands: the client, one by one, or a pipeline, many at a time. */
export abstract class SlaCommands<Omitted extends boolean = false> {
  /** Starts the clocks of a ticket. Idempotent: a live tracking is returned as it is (see `on_existing`). */
  startSlaTracking(
    request: Input<rpc.StartSlaTrackingRequest>,
    options?: CallOptions,
  ): Promise<Told<rpc.StartSlaTrackingResponse, Omitted>> {
    return this.command(SlaBackendService.startSlaTracking, request, options);
  }

  /** Stops the clocks that heed the reason until `resumeSla`. Reasons add up; one that is held changes nothing. */
  pauseSla(
    request: Input<rpc.PauseSlaRequest>,
    options?: CallOptions,
  ): Promise<Told<rpc.PauseSlaResponse, Omitted>> {
    return this.command(SlaBackendService.pauseSla, request, options);
  }

  /** Lets one reason go, or all of them. Idempotent. */
  resumeSla(
    request: Input<rpc.ResumeSlaRequest>,
    options?: CallOptions,
  ): Promise<Told<rpc.ResumeSlaResponse, Omitted>> {
    return this.command(SlaBackendService.resumeSla, request, options);
  }

  /** Closes one clock, or with the resolution all of them and the tracking. */
  completeSla(
    request: Input<rpc.CompleteSlaRequest>,
    options?: CallOptions,
  ): Promise<Told<rpc.CompleteSlaResponse, Omitted>> {
    return this.command(SlaBackendService.completeSla, request, options);
  }

  /** The customer or an agent wrote on the ticket. An agent's message is the response if there was none. */
  recordSlaMessage(
    request: Input<rpc.RecordSlaMessageRequest>,
    options?: CallOptions,
  ): Promise<Told<rpc.RecordSlaMessageResponse, Omitted>> {
    return this.command(SlaBackendService.recordSlaMessage, request, options);
  }

  /** The ticket has another owner, "" for nobody. The same owner again changes nothing. */
  assignSla(
    request: Input<rpc.AssignSlaRequest>,
    options?: CallOptions,
  ): Promise<Told<rpc.AssignSlaResponse, Omitted>> {
    return this.command(SlaBackendService.assignSla, request, options);
  }

  /** Ends the tracking without a verdict. */
  cancelSla(
    request: Input<rpc.CancelSlaRequest>,
    options?: CallOptions,
  ): Promise<Told<rpc.CancelSlaResponse, Omitted>> {
    return this.command(SlaBackendService.cancelSla, request, options);
  }

  /** Puts a live tracking under other terms, of which all are to be given. What has happened stays. */
  retargetSla(
    request: Input<rpc.RetargetSlaRequest>,
    options?: CallOptions,
  ): Promise<Told<rpc.RetargetSlaResponse, Omitted>> {
    return this.command(SlaBackendService.retargetSla, request, options);
  }

  /** Lets an ended ticket run again as its next generation. */
  reopenSla(
    request: Input<rpc.ReopenSlaRequest>,
    options?: CallOptions,
  ): Promise<Told<rpc.ReopenSlaResponse, Omitted>> {
    return this.command(SlaBackendService.reopenSla, request, options);
  }

  protected abstract command<Request, Reply>(
    method: MethodDefinition<Request, Reply>,
    request: object,
    options?: CallOptions,
  ): Promise<Told<Reply, Omitted>>;
}
