/** The one gRPC channel of a client: how it is made, and calls over it with typed errors. */

import {
  type ChannelCredentials,
  type ChannelOptions,
  type ClientDuplexStream,
  type ClientReadableStream,
  type ClientWritableStream,
  Client as GrpcClient,
  credentials as grpcCredentials,
  Metadata,
  type MethodDefinition,
  type ServiceError,
} from "@grpc/grpc-js";
import { fromServiceError } from "./errors.js";
import { cancelled } from "./retry.js";

export const DEFAULT_ADDRESS = "127.0.0.1:7523";

/** How TLS is spoken; all of it may be left out for a server with a publicly known certificate. */
export interface TlsOptions {
  /** The certificates of the authorities to trust, PEM. By default those of Node. */
  ca?: Buffer | string;
  /** The client's own certificate chain and key, PEM, where slad asks for one. */
  cert?: Buffer | string;
  key?: Buffer | string;
  /** The name that slad's certificate is for, when it is not that of the address. */
  serverName?: string;
}

/** Where slad is, and how it is talked to. */
export interface ConnectionOptions {
  /** `host:port`, or `unix:PATH`. Default `127.0.0.1:7523`. */
  address?: string;
  /** TLS; true for the defaults. Without it the connection is in plain text. */
  tls?: boolean | TlsOptions;
  /** Credentials of gRPC's own, instead of `tls`. */
  credentials?: ChannelCredentials;
  /** Sent as `authorization: Bearer …` with every call; a function is asked each time. */
  token?: string | (() => string | Promise<string>);
  /** Further options of the channel (those of @grpc/grpc-js), on top of this package's own. */
  channelOptions?: ChannelOptions;
}

const CHANNEL_OPTIONS: ChannelOptions = {
  // While a call is open, a daemon or a network that vanished without a word is noticed within 40 s. slad allows
  // a ping every 10 s.
  "grpc.keepalive_time_ms": 30_000,
  "grpc.keepalive_timeout_ms": 10_000,
  "grpc.keepalive_permit_without_calls": 0,
  // gRPC's own default, up to two minutes between attempts, is for servers that are far away. Between attempts
  // calls fail at once; so the longest pause is shorter than all retries of a call together.
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 500,
  // 512 events with all the attributes that slad allows are more than gRPC's default of 4 MiB.
  "grpc.max_receive_message_length": -1,
  // slad is a neighbour; the proxy of the environment is for the world.
  "grpc.enable_http_proxy": 0,
};

/** What each call needs to know. */
export interface CallControl {
  /** Ms until DEADLINE_EXCEEDED; none: no deadline. */
  timeoutMs?: number;
  signal?: AbortSignal | undefined;
  requestId?: string;
}

type Unary<Request, Reply> = MethodDefinition<Request, Reply>;

/** A channel, opened by its first call. */
export class Connection {
  private readonly client: GrpcClient;
  private readonly token: ConnectionOptions["token"];

  constructor(options: ConnectionOptions) {
    const tls = options.tls === true ? {} : options.tls || undefined;
    const channelOptions = { ...CHANNEL_OPTIONS, ...options.channelOptions };
    if (tls?.serverName) {
      channelOptions["grpc.ssl_target_name_override"] = tls.serverName;
      channelOptions["grpc.default_authority"] = tls.serverName;
    }
    this.token = options.token;
    this.client = new GrpcClient(
      options.address ?? DEFAULT_ADDRESS,
      options.credentials ?? (tls ? tlsCredentials(tls) : grpcCredentials.createInsecure()),
      channelOptions,
    );
  }

  /** One request, one reply. Raises SladError. */
  async unary<Request, Reply>(
    method: Unary<Request, Reply>,
    request: Request,
    { timeoutMs, signal, requestId = "" }: CallControl,
  ): Promise<Reply> {
    const metadata = await this.metadata();
    return this.answered(signal, requestId, (answer) =>
      this.client.makeUnaryRequest(
        method.path,
        method.requestSerialize,
        method.responseDeserialize,
        request,
        metadata,
        deadlineIn(timeoutMs),
        answer,
      ),
    );
  }

  /** One request, many replies. Errors come out of the stream as gRPC's own; see `fromServiceError`. */
  async serverStream<Request, Reply>(
    method: Unary<Request, Reply>,
    request: Request,
    timeoutMs?: number,
  ): Promise<ClientReadableStream<Reply>> {
    return this.client.makeServerStreamRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      request,
      await this.metadata(),
      deadlineIn(timeoutMs),
    );
  }

  /** Many requests, many replies. Errors come out of the stream as gRPC's own. */
  async duplexStream<Request, Reply>(
    method: Unary<Request, Reply>,
  ): Promise<ClientDuplexStream<Request, Reply>> {
    return this.client.makeBidiStreamRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      await this.metadata(),
    );
  }

  /** One request, many replies, one after the other. Raises SladError. */
  async *replies<Request, Reply>(
    method: Unary<Request, Reply>,
    request: Request,
    { timeoutMs, signal }: CallControl,
  ): AsyncGenerator<Reply, void, undefined> {
    const stream = await this.serverStream(method, request, timeoutMs);
    const cancel = () => stream.cancel();
    signal?.addEventListener("abort", cancel, { once: true });
    if (signal?.aborted) {
      cancel();
    }
    try {
      yield* stream as AsyncIterable<Reply>;
    } catch (error) {
      throw isServiceError(error) ? fromServiceError(error) : error;
    } finally {
      signal?.removeEventListener("abort", cancel);
      endQuietly(stream);
    }
  }

  /** Many requests, one reply. `send` writes them all; when it raises, the call is cancelled. Raises SladError. */
  async clientStream<Request, Reply>(
    method: Unary<Request, Reply>,
    send: (stream: RequestStream<Request>) => Promise<void>,
    { timeoutMs, signal }: CallControl,
  ): Promise<Reply> {
    const metadata = await this.metadata();
    let sending: Promise<void> = Promise.resolve();
    const reply = this.answered<Reply>(signal, "", (answer) => {
      const call = this.client.makeClientStreamRequest(
        method.path,
        method.requestSerialize,
        method.responseDeserialize,
        metadata,
        deadlineIn(timeoutMs),
        answer,
      );
      const stream = new RequestStream(call);
      sending = send(stream).then(
        () => stream.end(),
        (error) => {
          call.cancel();
          throw error;
        },
      );
      return call;
    });
    // When the call has failed, that is the reason, and not that nothing could be written any more.
    const [sent, answered] = await Promise.allSettled([sending, reply]);
    if (sent.status === "rejected" && !(sent.reason instanceof BrokenStream)) {
      throw sent.reason;
    }
    if (answered.status === "rejected") {
      throw answered.reason;
    }
    return answered.value;
  }

  /** Ends the calls that are under way, and the connection. */
  close(): void {
    this.client.close();
  }

  private answered<Reply>(
    signal: AbortSignal | undefined,
    requestId: string,
    start: (answer: (error: ServiceError | null, reply?: Reply) => void) => { cancel(): void },
  ): Promise<Reply> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(cancelled());
        return;
      }
      const call = start((error, reply) => {
        signal?.removeEventListener("abort", abort);
        if (error) {
          reject(fromServiceError(error, requestId));
        } else {
          resolve(reply as Reply);
        }
      });
      const abort = () => call.cancel();
      signal?.addEventListener("abort", abort, { once: true });
    });
  }

  private async metadata(): Promise<Metadata> {
    const metadata = new Metadata();
    const token = typeof this.token === "function" ? await this.token() : this.token;
    if (token) {
      metadata.set("authorization", `Bearer ${token.trim()}`);
    }
    return metadata;
  }
}

/** The requests of one call: written one after the other, at the pace at which slad takes them. */
export class RequestStream<Request> {
  private readonly heard: Promise<void>;
  private readonly ended: Promise<never>;

  constructor(private readonly call: ClientWritableStream<Request>) {
    this.ended = new Promise((_, reject) => {
      call.once("status", () => reject(new BrokenStream("the call has ended")));
    });
    this.heard = Promise.race([
      new Promise<void>((resolve) => call.once("metadata", () => resolve())),
      this.ended,
    ]);
    // Whether anybody waits for one of these or not.
    this.ended.catch(() => undefined);
    this.heard.catch(() => undefined);
  }

  /** Raises BrokenStream when the call has ended. */
  write(request: Request): Promise<void> {
    const written = new Promise<void>((resolve, reject) => {
      this.call.write(request, (error: Error | null | undefined) =>
        error ? reject(new BrokenStream(error.message)) : resolve(),
      );
    });
    return Promise.race([written, this.ended]);
  }

  /** Waits until slad has taken the first request up, which its initial metadata tell. */
  async taken(): Promise<void> {
    await this.heard;
  }

  end(): void {
    this.call.end();
  }
}

/** Nothing can be written any more; why is what the call itself ends with. */
class BrokenStream extends Error {}

function tlsCredentials({ ca, cert, key }: TlsOptions): ChannelCredentials {
  const bytes = (pem: Buffer | string | undefined) => (pem === undefined ? null : Buffer.from(pem));
  return grpcCredentials.createSsl(bytes(ca), bytes(key), bytes(cert));
}

function deadlineIn(timeoutMs: number | undefined): { deadline?: number } {
  return timeoutMs === undefined ? {} : { deadline: Date.now() + timeoutMs };
}

/** Ends a stream that nobody reads any more; what it has to say about that is not news. */
export function endQuietly(stream: ClientReadableStream<unknown>): void {
  stream.on("error", () => undefined);
  stream.cancel();
}

export function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && "code" in error && "metadata" in error && typeof error.code === "number";
}
