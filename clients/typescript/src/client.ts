/** The client: one method for each call of slad.v1.SlaBackend. */

import type { MethodDefinition } from "@grpc/grpc-js";
import { groups, type Rows } from "./bulk.js";
import { checkedMessage, type Input } from "./checks.js";
import { type CallOptions, SlaCommands, type WithStatus } from "./commands.js";
import { Connection, type ConnectionOptions, type RequestStream } from "./connection.js";
import { type PipelineOptions, SladPipeline, type SlaOutcome } from "./pipeline.js";
import { checkedTimeout, identified, messageOf } from "./requests.js";
import {
  cancelled,
  DEFAULT_RETRY,
  NO_RETRY,
  RETRIED_COMMAND,
  RETRIED_QUERY,
  type RetryPolicy,
  withRetries,
} from "./retry.js";
import { linked } from "./signals.js";
import * as admin from "./stubs/slad/v1/admin.js";
import type * as attainment from "./stubs/slad/v1/attainment.js";
import * as rpc from "./stubs/slad/v1/sla_backend.js";
import type { SlaEvent, SlaStatus } from "./stubs/slad/v1/types.js";
import { ACK_TIMEOUT_MS, type WatchOptions, watchEvents } from "./watch.js";

/** Where slad is, and what holds for calls that do not say otherwise. */
export interface SladClientOptions extends ConnectionOptions {
  /** Ms for a whole call, retries included. Default 5,000. */
  timeoutMs?: number;
  retry?: Partial<RetryPolicy>;
}

const { SlaBackendService } = rpc;
const { SlaAdminService } = admin;

const DEFAULT_TIMEOUT_MS = 5_000;
const BULK_TIMEOUT_MS = 600_000;

/**
 * A client of slad, to be kept and shared: it holds one connection, which is opened by the first call and made
 * again when it breaks. Fields, values and what is refused are described in proto/slad/v1. Every failure is a
 * SladError. A command without a `request_id` gets one, so that it can be repeated safely.
 */
export class SladClient extends SlaCommands {
  private readonly connection: Connection;
  private readonly timeoutMs: number;
  private readonly retry: RetryPolicy;
  private readonly closing = new AbortController();

  constructor(options: SladClientOptions = {}) {
    super();
    this.connection = new Connection(options);
    this.timeoutMs = checkedTimeout(options.timeoutMs ?? DEFAULT_TIMEOUT_MS);
    this.retry = { ...DEFAULT_RETRY, ...options.retry };
  }

  /**
   * Changes terms of many live trackings, and yields progress and differences as it goes; with `dry_run` nothing
   * changes. Not repeated when it breaks: the same call again, with the same `request_id`, finishes it. `timeoutMs`
   * is 10 minutes by default.
   */
  async *retargetSlaTrackings(
    request: Input<rpc.RetargetSlaTrackingsRequest>,
    options: CallOptions = {},
  ): AsyncGenerator<rpc.RetargetSlaTrackingsResponse, void, undefined> {
    yield* this.streamed(SlaBackendService.retargetSlaTrackings, request, options);
  }

  /** The status of a ticket now: its latest generation, or the one asked for. */
  async getSlaStatus(request: Input<rpc.GetSlaStatusRequest>, options?: CallOptions): Promise<SlaStatus> {
    const reply = await this.query(SlaBackendService.getSlaStatus, request, options);
    return reply.status as SlaStatus;
  }

  /**
   * How up to 1,000 tickets of a tenant stand now, in the order of `ticket_ids`; those that slad does not know are
   * in `not_found`.
   */
  batchGetSlaStatus(
    request: Input<rpc.BatchGetSlaStatusRequest>,
    options?: CallOptions,
  ): Promise<rpc.BatchGetSlaStatusResponse> {
    return this.query(SlaBackendService.batchGetSlaStatus, request, options);
  }

  /** Why a ticket stands as it does: every stretch of its life, and its events. */
  getSlaTimeline(
    request: Input<rpc.GetSlaTimelineRequest>,
    options?: CallOptions,
  ): Promise<WithStatus<rpc.GetSlaTimelineResponse>> {
    return this.query(SlaBackendService.getSlaTimeline, request, options) as Promise<
      WithStatus<rpc.GetSlaTimelineResponse>
    >;
  }

  /** What the clocks of such a ticket would say. Touches nothing. */
  previewSla(request: Input<rpc.PreviewSlaRequest>, options?: CallOptions): Promise<rpc.PreviewSlaResponse> {
    return this.query(SlaBackendService.previewSla, request, options);
  }

  /** Says why a cycle was missed, and whether it is to count; the verdict stays. By default of the last cycle. */
  async annotateSla(
    request: Input<attainment.AnnotateSlaRequest>,
    options?: CallOptions,
  ): Promise<attainment.AnnotateSlaResponse> {
    return this.send(SlaBackendService.annotateSla, identified(request), RETRIED_COMMAND, options);
  }

  /**
   * What share of a tenant's promises was kept in a period: a row for each combination of `group_by` and
   * `attributes`, and the total. A rate is undefined when there is nothing to take it of.
   */
  reportSla(
    request: Input<attainment.ReportSlaRequest>,
    options?: CallOptions,
  ): Promise<attainment.ReportSlaResponse> {
    return this.query(SlaBackendService.reportSla, request, options);
  }

  /**
   * The cycles that a report counts. Not repeated when it breaks. `timeoutMs` is 10 minutes by default.
   */
  async *unfoldSlaReport(
    request: Input<attainment.UnfoldSlaReportRequest>,
    options: CallOptions = {},
  ): AsyncGenerator<attainment.SlaLedgerEntry, void, undefined> {
    for await (const reply of this.streamed(SlaBackendService.unfoldSlaReport, request, options)) {
      yield* reply.entries;
    }
  }

  /** What is overdue, and what will reach 100 % by `until` if nothing changes. */
  forecastSla(
    request: Input<attainment.ForecastSlaRequest>,
    options?: CallOptions,
  ): Promise<attainment.ForecastSlaResponse> {
    return this.query(SlaBackendService.forecastSla, request, options);
  }

  /** Trackings in the order in which they were created; pages are fetched as they are needed. */
  async *listSlaTrackings(
    request: Input<rpc.ListSlaTrackingsRequest> = {},
    options?: CallOptions,
  ): AsyncGenerator<SlaStatus, void, undefined> {
    for (let page_token = request.page_token; ; ) {
      const page = await this.query(SlaBackendService.listSlaTrackings, { ...request, page_token }, options);
      yield* page.trackings;
      page_token = page.next_page_token;
      if (!page_token) {
        return;
      }
    }
  }

  /**
   * What takes the same commands and puts many into a message, for those who have many to send. To be closed, which
   * waits for what is under way.
   */
  pipeline<Omitted extends boolean = false>(options: PipelineOptions<Omitted> = {}): SladPipeline<Omitted> {
    const timeoutMs = checkedTimeout(options.timeoutMs ?? this.timeoutMs);
    const settings = { timeoutMs, retry: this.retry, omitStatus: options.omitStatus === true };
    return new SladPipeline(this.connection, settings, this.closing.signal);
  }

  /**
   * Carries out many commands through a pipeline of their own; what became of them, in their order (see
   * `SladPipeline.execute`).
   */
  async execute(
    commands: Iterable<Input<rpc.SlaCommand>>,
    options: PipelineOptions<boolean> = {},
  ): Promise<SlaOutcome[]> {
    const pipeline = this.pipeline(options);
    try {
      return await pipeline.execute(commands);
    } finally {
      await pipeline.close();
    }
  }

  /**
   * Takes over the open tickets of another system. Rows are sent as they come, in messages of a bounded size; a
   * bad row does not end the call, it is in `rejected`. Not repeated by itself: the same rows again make no
   * doubles. `timeoutMs` is 10 minutes by default.
   */
  async importSlaTrackings(rows: Rows, options: CallOptions = {}): Promise<rpc.ImportSlaTrackingsResponse> {
    return this.bulk(SlaBackendService.importSlaTrackings, options, async (stream) => {
      for await (const trackings of groups(rows)) {
        await stream.write({ trackings });
      }
    });
  }

  /**
   * Compares the open tickets of one tenant, all of them, with slad's, and mends slad's side with `apply`. Give
   * the rows as a function: it is called when slad has taken its view, so that what it reads is not older.
   * Instants that differ by no more than `tolerance` (milliseconds) are the same. `timeoutMs` is 10 minutes by
   * default.
   */
  async reconcileSlaTrackings(
    request: Pick<Input<rpc.ReconcileSlaTrackingsRequest>, "tenant_id" | "apply" | "tolerance">,
    rows: Rows | (() => Rows | Promise<Rows>),
    options: CallOptions = {},
  ): Promise<rpc.ReconcileSlaTrackingsResponse> {
    const { tenant_id, apply, tolerance } = checkedMessage("ReconcileSlaTrackingsRequest", request);
    const first = {
      tenant_id: (tenant_id ?? "") as string,
      apply: apply === true,
      explicit_end: true,
      end: false,
      trackings: [],
      tolerance: tolerance as rpc.ReconcileSlaTrackingsRequest["tolerance"],
    };
    return this.bulk(SlaBackendService.reconcileSlaTrackings, options, async (stream) => {
      await stream.write(first);
      await stream.taken();
      for await (const trackings of groups(typeof rows === "function" ? await rows() : rows)) {
        await stream.write({ ...first, trackings });
      }
      await stream.write({ ...first, end: true });
    });
  }

  /** The live trackings, as `importSlaTrackings` takes them. The stream is not repeated when it breaks. */
  async *exportSlaTrackings(
    request: Input<rpc.ExportSlaTrackingsRequest> = {},
    options: CallOptions = {},
  ): AsyncGenerator<rpc.SlaTrackingImport, void, undefined> {
    for await (const reply of this.streamed(SlaBackendService.exportSlaTrackings, request, options)) {
      yield* reply.trackings;
    }
  }

  /**
   * Events, without end, over all breaks of the connection. With a `consumer` name it goes on behind what that
   * consumer has acknowledged; without one it is a look from `after_sequence`, or from now. No event is handed
   * out twice by one iteration. It ends when it is left (`break`), its signal is aborted, or the client closed.
   */
  watchSlaEvents(
    request: Input<rpc.WatchSlaEventsRequest> = {},
    options: WatchOptions = {},
  ): AsyncIterableIterator<SlaEvent> {
    const checked = checkedMessage("WatchSlaEventsRequest", request);
    return watchEvents(this.connection, checked as Partial<rpc.WatchSlaEventsRequest>, {
      ...options,
      retry: { ...this.retry, ...options.retry },
      closing: this.closing.signal,
      sendAck: (sequence) =>
        this.ackSlaEvents(
          { consumer: request.consumer, sequence },
          { timeoutMs: ACK_TIMEOUT_MS, retry: NO_RETRY },
        ),
    });
  }

  /** Says that a consumer has dealt with every event up to and including `sequence`. */
  async ackSlaEvents(request: Input<rpc.AckSlaEventsRequest>, options?: CallOptions): Promise<void> {
    await this.send(SlaBackendService.ackSlaEvents, request, RETRIED_COMMAND, options);
  }

  /** All registered consumers, and how far behind they are. */
  async listSlaConsumers(options?: CallOptions): Promise<admin.SlaConsumer[]> {
    const reply = await this.query(SlaAdminService.listSlaConsumers, {}, options);
    return reply.consumers;
  }

  /** Forgets a consumer, and with it its claim on the events that it has not acknowledged. */
  async removeSlaConsumer(
    request: Input<admin.RemoveSlaConsumerRequest>,
    options?: CallOptions,
  ): Promise<void> {
    await this.send(SlaAdminService.removeSlaConsumer, request, RETRIED_QUERY, options);
  }

  /** Ends watches, pipelines and calls that are under way, and the connection. */
  close(): void {
    this.closing.abort();
    this.connection.close();
  }

  private async *streamed<Request, Reply>(
    method: MethodDefinition<Request, Reply>,
    request: object,
    options: CallOptions,
  ): AsyncGenerator<Reply, void, undefined> {
    const message = messageOf(method, request);
    const timeoutMs = checkedTimeout(options.timeoutMs ?? BULK_TIMEOUT_MS);
    const link = linked(this.closing.signal, options.signal);
    try {
      yield* this.connection.replies(method, message, { timeoutMs, signal: link.signal });
    } finally {
      link.release();
    }
  }

  protected override async command<Request, Reply>(
    method: MethodDefinition<Request, Reply>,
    request: object,
    options?: CallOptions,
  ): Promise<WithStatus<Reply>> {
    return this.send(method, identified(request), RETRIED_COMMAND, options) as Promise<WithStatus<Reply>>;
  }

  private query<Request, Reply>(
    method: MethodDefinition<Request, Reply>,
    request: object,
    options?: CallOptions,
  ): Promise<Reply> {
    return this.send(method, request, RETRIED_QUERY, options);
  }

  private async send<Request, Reply>(
    method: MethodDefinition<Request, Reply>,
    request: object,
    retried: ReadonlySet<number>,
    options: CallOptions = {},
  ): Promise<Reply> {
    const message = messageOf(method, request);
    const requestId = (message as { request_id?: string }).request_id ?? "";
    const timeoutMs = checkedTimeout(options.timeoutMs ?? this.timeoutMs);
    if (this.closing.signal.aborted) {
      throw cancelled("the client was closed");
    }
    return this.during(options, (signal) =>
      withRetries(
        (left) => this.connection.unary(method, message, { timeoutMs: left, signal, requestId }),
        { ...this.retry, ...options.retry },
        retried,
        timeoutMs,
        signal,
      ),
    );
  }

  private bulk<Request, Reply>(
    method: MethodDefinition<Request, Reply>,
    options: CallOptions,
    send: (stream: RequestStream<Request>) => Promise<void>,
  ): Promise<Reply> {
    const timeoutMs = checkedTimeout(options.timeoutMs ?? BULK_TIMEOUT_MS);
    return this.during(options, (signal) =>
      this.connection.clientStream(method, send, { timeoutMs, signal }),
    );
  }

  /** Makes a call with a signal that is aborted with the caller's, or when the client is closed. */
  private async during<Reply>(
    options: CallOptions,
    call: (signal: AbortSignal) => Promise<Reply>,
  ): Promise<Reply> {
    const link = linked(this.closing.signal, options.signal);
    try {
      return await call(link.signal);
    } finally {
      link.release();
    }
  }
}
