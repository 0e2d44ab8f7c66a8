/** Pipelines and batches against the daemon, and over connections that break. */

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import {
  AlreadyExists,
  Cancelled,
  DeadlineExceeded,
  FailedPrecondition,
  InvalidArgument,
  NO_RETRY,
  NotFound,
  SladClient,
  type SladClientOptions,
  SladError,
  type SladPipeline,
  Unavailable,
} from "../src/index.js";
import { type Daemon, daemon, MINUTE, MONDAY_9, PATIENCE_MS, until } from "./daemon.js";

const TARGETS = [{ response_time_minutes: 60, resolution_time_minutes: 480, is_24x7: true }];
const TICKET = { tenant_id: "acme", ticket_id: "T-1" };

const names = (count: number) => Array.from({ length: count }, (_, number) => `T-${number}`);
const started = (ticket_id: string) => ({ ...TICKET, ticket_id, targets: TARGETS });

/** Between client and daemon: it may swallow what the daemon says, and cut connections. */
class Wire {
  readonly folder = mkdtempSync(join(tmpdir(), "slad-wire-"));
  readonly address = `unix:${this.folder}/s`;
  swallows = false;
  /** Connections that were made. */
  connections = 0;
  private readonly sockets = new Set<Socket>();
  private readonly server = createServer((near) => {
    const far = connect(this.slad.address.slice("unix:".length));
    this.connections += 1;
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      this.sockets.add(one);
      one.on("data", (bytes) => {
        if (one === near || !this.swallows) {
          other.write(bytes);
        }
      });
      one.on("error", () => undefined);
      one.on("close", () => {
        this.sockets.delete(one);
        other.destroy();
      });
    }
  });

  constructor(private readonly slad: Daemon) {}

  static async to(slad: Daemon, context: TestContext): Promise<Wire> {
    const wire = new Wire(slad);
    await new Promise<void>((resolve) => wire.server.listen(`${wire.folder}/s`, resolve));
    context.after(() => {
      wire.server.close();
      wire.cut();
      rmSync(wire.folder, { recursive: true });
    });
    return wire;
  }

  cut(): void {
    for (const socket of this.sockets) {
      socket.destroy();
    }
  }
}

function clientOf(context: TestContext, options: SladClientOptions): SladClient {
  const client = new SladClient({ timeoutMs: PATIENCE_MS, ...options });
  context.after(() => client.close());
  return client;
}

async function eventsOf({ client }: Daemon, ticket_id: string): Promise<string[]> {
  const { events } = await client.getSlaTimeline({ ...TICKET, ticket_id });
  return events.map(({ type }) => type.replace("SLA_EVENT_TYPE_", ""));
}

test("every command does through a pipeline what it does alone, in the order of the calls", async (t) => {
  const slad = await daemon(t);
  const pipeline = slad.client.pipeline();
  const [start, pause, resume, assign, message, retarget, complete, cancel, reopen] = await Promise.all([
    pipeline.startSlaTracking({ ...TICKET, targets: TARGETS, policy_id: "gold" }),
    pipeline.pauseSla({ ...TICKET, reason: "SLA_PAUSE_REASON_AWAITING_CLIENT" }),
    pipeline.resumeSla(TICKET),
    pipeline.assignSla({ ...TICKET, owner: "ann" }),
    pipeline.recordSlaMessage({ ...TICKET, sender: "SLA_MESSAGE_SENDER_AGENT" }),
    pipeline.retargetSla({ ...TICKET, targets: TARGETS, policy_id: "silver" }),
    pipeline.completeSla({ ...TICKET, phase: "SLA_PHASE_RESOLUTION", met: true }),
    pipeline.cancelSla(TICKET).catch((error) => error),
    pipeline.reopenSla({ ...TICKET, mode: "REOPEN_MODE_RESTART" }),
  ]);
  assert.equal(start.created, true);
  assert.equal(start.status.policy_id, "gold");
  assert.deepEqual([pause.changed, pause.status.is_paused], [true, true]);
  assert.deepEqual([resume.changed, resume.status.is_paused], [true, false]);
  assert.equal(assign.changed, true);
  assert.equal(message.changed, true);
  assert.equal(retarget.status.policy_id, "silver");
  assert.deepEqual([complete.met, complete.met_differs], [true, false]);
  assert.ok(cancel instanceof FailedPrecondition && cancel.reason === "TRACKING_COMPLETED");
  assert.equal(reopen.status.generation, 2);
  await pipeline.close();
  await assert.rejects(pipeline.resumeSla(TICKET), Cancelled);
});

test("without status replies say what changed and no more", async (t) => {
  const { client } = await daemon(t);
  const pipeline = client.pipeline({ omitStatus: true });
  const reply = await pipeline.startSlaTracking(started("T-1"));
  // @ts-expect-error: it is not there
  assert.equal(reply.status, undefined);
  assert.equal(reply.created, true);
  await pipeline.close();
});

test("refusals have the class, reason and field that they have alone", async (t) => {
  const { client } = await daemon(t);
  const pipeline = client.pipeline();
  await pipeline.startSlaTracking(started("T-1"));
  const schedule = { timezone: "Mars/Olympus", entries: [] };
  const bad = { ...started("T-2"), targets: [{ response_time_minutes: 60 }], schedule };
  for (const sender of [client, pipeline]) {
    await assert.rejects(
      sender.startSlaTracking(bad),
      (error) => error instanceof InvalidArgument && error.field === "schedule.timezone",
    );
    await assert.rejects(
      sender.startSlaTracking({
        ...started("T-1"),
        on_existing: "ON_EXISTING_FAIL",
        request_id: `r-${sender === client}`,
      }),
      (error) =>
        error instanceof AlreadyExists &&
        error.reason === "TRACKING_EXISTS" &&
        error.requestId === `r-${sender === client}`,
    );
    await assert.rejects(sender.resumeSla({ ticket_id: "nobody" }), NotFound);
    // biome-ignore lint/suspicious/noExplicitAny: this is JavaScript calling
    await assert.rejects((sender as any).pauseSla({ ticket_id: 7 }), {
      name: "InvalidArgument",
      field: "ticket_id",
    });
    const pause = { ...TICKET, reason: "SLA_PAUSE_REASON_STATUS_PAUSE" } as const;
    await assert.rejects(sender.pauseSla(pause, { timeoutMs: 0 }), InvalidArgument);
  }
  await pipeline.close();
  assert.equal((await client.getSlaStatus(TICKET)).is_paused, false, "and was not sent");
});

test("how many tickets stand in one call", async (t) => {
  const { client } = await daemon(t);
  await client.execute(names(3).map((ticket) => ({ start: started(ticket) })));
  const page = await client.batchGetSlaStatus({
    tenant_id: "acme",
    ticket_ids: ["T-2", "nobody", "T-0"],
  });
  assert.deepEqual(
    page.statuses.map(({ ticket_id }) => ticket_id),
    ["T-2", "T-0"],
  );
  assert.deepEqual(page.not_found, ["nobody"]);
});

test("a batch has an outcome for each command, in their order", async (t) => {
  const { client } = await daemon(t);
  const outcomes = await client.execute([
    ...names(300).map((ticket) => ({ start: started(ticket) })),
    { pause: { ticket_id: "T-0", reason: "SLA_PAUSE_REASON_STATUS_PAUSE" } },
    { cancel: { ticket_id: "nobody" } },
    // biome-ignore lint/suspicious/noExplicitAny: this is JavaScript calling
    { pause: { ticket_id: "T-0", reason: "LUNCH" } as any },
    {},
    // biome-ignore lint/suspicious/noExplicitAny: the same
    null as any,
    { resume: { ticket_id: "T-0" }, cancel: { ticket_id: "T-0" } },
    { resume: { ticket_id: "T-0" }, cancel: null },
  ]);
  assert.ok(outcomes.slice(0, 300).every(({ start }) => start?.created));
  assert.deepEqual(
    outcomes.slice(0, 300).map(({ start }) => start?.status?.ticket_id),
    names(300),
  );
  const [paused, missing, lunch, empty, nothing, two, resumed] = outcomes.slice(300);
  assert.equal(paused?.pause?.status?.is_paused, true);
  assert.ok(missing?.error instanceof NotFound);
  assert.equal(lunch?.error?.field, "reason");
  for (const outcome of [empty, nothing, two]) {
    assert.ok(outcome?.error instanceof InvalidArgument);
    assert.equal(outcome.error.field, "command");
  }
  assert.equal(resumed?.resume?.changed, true);
  assert.deepEqual(await client.execute([]), []);
});

test("what has no answer when the connection breaks is carried out once, and told once", async (t) => {
  const slad = await daemon(t);
  const wire = await Wire.to(slad, t);
  const pipeline = clientOf(t, { address: wire.address, retry: { firstDelayMs: 10 } }).pipeline();
  await pipeline.startSlaTracking(started("first"));
  wire.swallows = true;
  let told = 0;
  const replies = names(200).map(async (ticket) => {
    const { created, status } = await pipeline.startSlaTracking(started(ticket));
    told += 1;
    return [created, status.ticket_id];
  });
  await until(async () => (await slad.client.listSlaTrackings().next()).done === false, "they have arrived");
  const listed = async () => {
    let count = 0;
    for await (const _ of slad.client.listSlaTrackings({ page_size: 1_000 })) {
      count += 1;
    }
    return count;
  };
  await until(async () => (await listed()) === 201, "all are carried out");
  assert.equal(told, 0);
  wire.swallows = false;
  wire.cut();
  assert.deepEqual(
    await Promise.all(replies),
    names(200).map((ticket) => [true, ticket]),
    "the first answers",
  );
  assert.ok(wire.connections >= 2);
  assert.deepEqual(await eventsOf(slad, "T-7"), ["STARTED"]);
  await pipeline.close();
});

test("a pipeline goes on over connections that break all the time, in order", async (t) => {
  const slad = await daemon(t);
  const wire = await Wire.to(slad, t);
  const client = clientOf(t, { address: wire.address, retry: { firstDelayMs: 1, maxDelayMs: 20 } });
  const pipeline = client.pipeline();
  await pipeline.startSlaTracking(TICKET_STARTED);
  for (let round = 0; round < 20; round += 1) {
    const pause = pipeline.pauseSla({ ...TICKET, reason: "SLA_PAUSE_REASON_STATUS_PAUSE" });
    const resume = pipeline.resumeSla(TICKET);
    wire.swallows = round % 2 === 0;
    setTimeout(() => {
      wire.swallows = false;
      wire.cut();
    }, round % 7);
    assert.deepEqual([(await pause).changed, (await resume).changed], [true, true]);
  }
  await pipeline.close();
  assert.deepEqual(await eventsOf(slad, "T-1"), ["STARTED", ...Array(20).fill(["PAUSED", "RESUMED"]).flat()]);
});

const TICKET_STARTED = started("T-1");

test("a daemon that falls silent is asked again, and one that is restarted as well", async (t) => {
  const slad = await daemon(t);
  const client = clientOf(t, { address: slad.address, retry: { attemptTimeoutMs: 200, firstDelayMs: 10 } });
  const pipeline = client.pipeline();
  await pipeline.startSlaTracking(TICKET_STARTED);
  slad.signal("SIGSTOP");
  const pause = pipeline.pauseSla({ ...TICKET, reason: "SLA_PAUSE_REASON_STATUS_PAUSE" });
  await new Promise((resolve) => setTimeout(resolve, 700));
  slad.signal("SIGCONT");
  assert.equal((await pause).changed, true);
  await slad.stop("SIGKILL");
  const resume = pipeline.resumeSla(TICKET);
  await slad.start(new Date(MONDAY_9.getTime() + MINUTE));
  assert.equal((await resume).changed, true);
  assert.deepEqual(await eventsOf(slad, "T-1"), ["STARTED", "PAUSED", "RESUMED"]);
  const begun = performance.now();
  await slad.stop();
  assert.ok(performance.now() - begun < PATIENCE_MS / 2, "an open pipeline holds no stop up");
  await pipeline.close();
});

test("a daemon that does not come ends all that waits, and a later one serves", async (t) => {
  const slad = await daemon(t);
  await slad.stop();
  const client = clientOf(t, { address: slad.address });
  const pipeline = client.pipeline({ timeoutMs: 400 });
  // While gRPC tries to connect, a call waits.
  const away = (error: unknown) => error instanceof Unavailable || error instanceof DeadlineExceeded;
  const ends = await Promise.allSettled(
    names(300).map((ticket) => pipeline.startSlaTracking({ ...started(ticket), request_id: ticket })),
  );
  for (const [place, end] of ends.entries()) {
    assert.ok(end.status === "rejected" && away(end.reason), JSON.stringify(end));
    assert.equal(end.reason.requestId, `T-${place}`);
  }
  await assert.rejects(pipeline.startSlaTracking(TICKET_STARTED, { retry: NO_RETRY }), away);
  await slad.start();
  await until(
    () =>
      // Perhaps it was made by an earlier attempt, whose answer came too late.
      pipeline.startSlaTracking(TICKET_STARTED).then(
        () => true,
        () => false,
      ),
    "it serves",
  );
  await pipeline.close();
});

test("a command ends alone by its own timeout or signal, or with pipeline and client", async (t) => {
  const slad = await daemon(t);
  const wire = await Wire.to(slad, t);
  const client = clientOf(t, { address: wire.address, retry: { attemptTimeoutMs: PATIENCE_MS } });
  const pipeline = client.pipeline();
  await pipeline.startSlaTracking(started("first"));
  wire.swallows = true;
  const giveUp = new AbortController();
  const late = pipeline.startSlaTracking({ ...started("late"), request_id: "r-1" }, { timeoutMs: 50 });
  const aborted = pipeline.startSlaTracking(started("aborted"), { signal: giveUp.signal });
  const other = pipeline.startSlaTracking(started("other"));
  await assert.rejects(late, (error) => error instanceof DeadlineExceeded && error.requestId === "r-1");
  giveUp.abort();
  await assert.rejects(aborted, Cancelled);
  await assert.rejects(pipeline.resumeSla(TICKET, { signal: giveUp.signal }), Cancelled);
  wire.swallows = false;
  wire.cut();
  assert.equal((await other).status.ticket_id, "other");
  wire.swallows = true;
  const waiting = pipeline.startSlaTracking(started("waiting"));
  const closing = pipeline.close();
  setTimeout(() => client.close(), 50);
  await assert.rejects(
    waiting,
    (error) => error instanceof Cancelled && /client was closed/.test(error.message),
  );
  await closing;
  await assert.rejects(pipeline.resumeSla(TICKET), /client was closed/);
});

test("closing waits for what is under way, also when it was called in the same moment", async (t) => {
  const { client } = await daemon(t);
  const pipeline = client.pipeline();
  let told = 0;
  const replies = names(2_000).map((ticket) =>
    pipeline.startSlaTracking(started(ticket)).then(() => {
      told += 1;
    }),
  );
  await pipeline.close();
  await Promise.all(replies);
  assert.equal(told, 2_000);
  await pipeline.close();
  await client.pipeline().close();
});

test("a token that cannot be had is told to all, and the next may be had", async (t) => {
  const slad = await daemon(t);
  let sealed = true;
  const token = () => {
    if (sealed) {
      throw new Error("the vault is sealed");
    }
    return "secret";
  };
  const pipeline = clientOf(t, { address: slad.address, token }).pipeline();
  for (const ticket of names(2)) {
    await assert.rejects(pipeline.startSlaTracking(started(ticket)), /sealed/);
  }
  sealed = false;
  assert.equal((await pipeline.startSlaTracking(TICKET_STARTED)).created, true);
  await pipeline.close();
});

test("one that slad does not let in is told so", async (t) => {
  const slad = await daemon(t, { arguments: ["--listen", "127.0.0.1:0", "--limits-message-bytes", "65536"] });
  const pipeline: SladPipeline = slad.client.pipeline();
  const large = { ...TICKET_STARTED, attributes: { large: "x".repeat(70_000) } };
  await assert.rejects(
    pipeline.startSlaTracking(large),
    (error) => error instanceof SladError && error.status === "RESOURCE_EXHAUSTED",
  );
  assert.equal((await pipeline.startSlaTracking(TICKET_STARTED)).created, true);
  await pipeline.close();
});
