/** Many commands over one stream, which a client makes anew when it breaks. */

import { type ClientDuplexStream, type MethodDefinition, status as Status } from "@grpc/grpc-js";
import { Backlog, type Outcome, type Pending, type PipelineSettings } from "./backlog.js";
import type { Input } from "./checks.js";
import { type CallOptions, SlaCommands, type Told } from "./commands.js";
import { type Connection, endQuietly, isServiceError } from "./connection.js";
import {
  type Cancelled,
  DeadlineExceeded,
  errorAbout,
  fromServiceError,
  invalid,
  SladError,
} from "./errors.js";
import { checkedTimeout, identified, messageNamed, requestName } from "./requests.js";
import { cancelled, sleep } from "./retry.js";
import { type Kind, MESSAGES } from "./stubs/fields.js";
import {
  type ExecuteSlaRequest,
  type ExecuteSlaResponse,
  SlaBackendService,
  type SlaCommand,
  type SlaResult,
} from "./stubs/slad/v1/sla_backend.js";

/** How a pipeline sends. */
export interface PipelineOptions<Omitted extends boolean = false> {
  /** Leaves the status of the ticket out of replies, which costs the most. */
  omitStatus?: Omitted;
  /**
   * Ms without an answer after which all commands that wait end with Unavailable or DeadlineExceeded; until then
   * they are sent again over breaks of the connection. By default the client's.
   */
  timeoutMs?: number;
}

/** What became of a command of a batch: the reply, in the field of the command, or why it failed. */
export type SlaOutcome = Omit<SlaResult, "error"> & { error?: SladError };

type Stream = ClientDuplexStream<ExecuteSlaRequest, ExecuteSlaResponse>;

/** How long slad may take to end a stream on which everything has been answered, ms. */
const END_TIMEOUT_MS = 2_000;

/** The names of requests, by the field of SlaCommand that holds them. */
const REQUESTS = new Map(
  Object.entries(MESSAGES.SlaCommand as Record<string, Kind & object>).map(([field, kind]) => [
    field,
    (kind as { message: string }).message,
  ]),
);
const FIELDS = new Map([...REQUESTS].map(([field, name]) => [name, field]));

/**
 * Commands that share messages, for those who have many; `SladClient.pipeline` makes one. What is under way at the
 * same time goes together, up to 1,024 commands; more of them wait for their turn. Commands of one ticket are
 * carried out in the order of the calls. When the connection breaks, those that have no answer are sent again under
 * the same request_ids, so each is carried out once.
 *
 * A method rejects with what the client's own would reject with; `timeoutMs` of a single command counts from its
 * call, and with `attempts: 1` it is sent once.
 */
export class SladPipeline<Omitted extends boolean = false> extends SlaCommands<Omitted> {
  private readonly backlog: Backlog;
  private stream: Stream | undefined;
  private silent = false;
  private closed = false;
  private running: Promise<void> | undefined;
  /** The stream takes no more for now. */
  private held = false;
  private scheduled: NodeJS.Immediate | undefined;
  private timer: NodeJS.Timeout | undefined;

  /** Made by `SladClient.pipeline`. */
  constructor(
    private readonly connection: Connection,
    settings: PipelineSettings,
    private readonly closing: AbortSignal,
  ) {
    super();
    this.backlog = new Backlog(settings);
    closing.addEventListener("abort", this.cancel, { once: true });
  }

  /**
   * Carries out many commands, each on its own: `{ pause: { ticket_id, reason } }`. What became of them comes in
   * their order, under the same names: `{ pause: reply }`, or `{ error }` with what the client's own method would
   * have rejected with. It rejects itself only when `commands` cannot be gone through.
   */
  async execute(commands: Iterable<Input<SlaCommand>>): Promise<SlaOutcome[]> {
    return Promise.all(Array.from(commands, (command) => this.outcomeOf(command)));
  }

  /** Waits until everything is answered, or given up, and ends the stream. */
  async close(): Promise<void> {
    this.closed = true;
    if (this.scheduled) {
      this.begin();
    }
    this.feed();
    await this.running;
    clearTimeout(this.timer);
    this.closing.removeEventListener("abort", this.cancel);
  }

  protected override command<Request, Reply>(
    method: MethodDefinition<Request, Reply>,
    request: object,
    options: CallOptions = {},
  ): Promise<Told<Reply, Omitted>> {
    const name = requestName(method as MethodDefinition<unknown, unknown>);
    const field = FIELDS.get(name) as keyof SlaOutcome;
    return this.send(field, name, request, options).then(
      (result) => result[field] as unknown as Told<Reply, Omitted>,
    );
  }

  private async outcomeOf(command: Input<SlaCommand>): Promise<SlaOutcome> {
    try {
      const given = Object.entries(command ?? {}).filter(
        ([, request]) => request !== undefined && request !== null,
      );
      const [field, request] = given[0] ?? [""];
      const name = REQUESTS.get(field);
      if (name === undefined || given.length > 1) {
        throw invalid("command", "REQUIRED", `must be one of ${[...REQUESTS.keys()].join(", ")}`);
      }
      return await this.send(field as keyof SlaOutcome, name, request, {});
    } catch (error) {
      if (error instanceof SladError) {
        return { error };
      }
      throw error;
    }
  }

  /** Rejects with SladError. */
  private send(field: string, name: string, request: unknown, options: CallOptions): Promise<SlaOutcome> {
    return new Promise((resolve, reject) => {
      const message = messageNamed(name, identified(request)) as { request_id: string };
      const { signal, retry } = options;
      const timeoutMs = options.timeoutMs === undefined ? undefined : checkedTimeout(options.timeoutMs);
      const requestId = message.request_id;
      if (this.closed || this.closing.aborted) {
        throw this.gone();
      }
      if (signal?.aborted) {
        throw errorAbout(cancelled(), requestId);
      }
      let timer: NodeJS.Timeout | undefined;
      const abort = () => this.backlog.drop(pending, errorAbout(cancelled(), requestId));
      const settle = (outcome: Outcome) => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", abort);
        if (outcome instanceof Error) {
          reject(outcome);
        } else {
          resolve(outcome);
        }
      };
      const pending: Pending = this.backlog.put(
        { [field]: message },
        requestId,
        retry?.attempts === 1,
        settle,
      );
      if (timeoutMs !== undefined) {
        const late = () => this.backlog.drop(pending, errorAbout(this.backlog.late(timeoutMs), requestId));
        timer = setTimeout(late, timeoutMs);
      }
      signal?.addEventListener("abort", abort, { once: true });
      this.watchTime();
      // Not at once: what is called in the same moment goes together.
      this.scheduled ??= setImmediate(() => this.begin());
    });
  }

  private begin(): void {
    clearImmediate(this.scheduled);
    this.scheduled = undefined;
    this.running ??= this.run().finally(() => {
      this.running = undefined;
    });
    this.feed();
  }

  /** One stream after the other, as long as there is something to send. */
  private async run(): Promise<void> {
    while (this.backlog.size > 0) {
      try {
        const pause = this.backlog.takePause();
        if (pause > 0) {
          await sleep(pause, this.closing);
        }
        this.backlog.broke(await this.useAStream());
      } catch (error) {
        // Whatever it is, such as one of a token that cannot be had: nobody is left waiting.
        this.backlog.giveUp(error as Error);
        this.backlog.broke();
      }
    }
  }

  /** Sends and receives until the stream ends: with what, if not well. */
  private async useAStream(): Promise<SladError | undefined> {
    const stream = await this.connection.duplexStream(SlaBackendService.executeSla);
    this.stream = stream;
    this.silent = false;
    this.held = false;
    try {
      return await new Promise<SladError | undefined>((resolve, reject) => {
        stream.on("data", (response: ExecuteSlaResponse) => {
          try {
            this.backlog.answer(response);
            this.feed();
          } catch (error) {
            resolve(error as SladError);
          }
        });
        stream.on("error", (error) => {
          if (this.silent) {
            resolve(new DeadlineExceeded(Status.DEADLINE_EXCEEDED, "slad says nothing"));
          } else if (isServiceError(error)) {
            resolve(fromServiceError(error));
          } else {
            reject(error);
          }
        });
        stream.on("status", () => resolve(undefined));
        this.feed();
      });
    } finally {
      this.stream = undefined;
      stream.removeAllListeners("data");
      endQuietly(stream);
    }
  }

  /** Sends what there is, as far as there is room. */
  private feed(): void {
    const { stream } = this;
    if (!stream || this.held) {
      return;
    }
    for (let message = this.backlog.message(); message; message = this.backlog.message()) {
      if (!stream.write(message)) {
        this.held = true;
        stream.once("drain", () => {
          if (this.stream === stream) {
            this.held = false;
            this.feed();
          }
        });
        return;
      }
    }
    if (this.closed && this.backlog.size === 0 && !stream.writableEnded) {
      stream.end();
      const timer = setTimeout(() => stream.cancel(), END_TIMEOUT_MS);
      stream.once("status", () => clearTimeout(timer));
    }
  }

  /** Looks after what takes too long, as long as something is under way. */
  private watchTime(): void {
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      this.backlog.expire();
      if (this.backlog.isSilent) {
        this.silent = true;
        this.stream?.cancel();
      }
      this.feed();
      if (this.backlog.size > 0) {
        this.watchTime();
      }
    }, this.backlog.dueIn());
  }

  private readonly cancel = (): void => {
    this.closed = true;
    this.backlog.giveUp(this.gone());
    this.stream?.cancel();
    clearTimeout(this.timer);
  };

  private gone(): Cancelled {
    return cancelled(this.closing.aborted ? "the client was closed" : "the pipeline was closed");
  }
}
