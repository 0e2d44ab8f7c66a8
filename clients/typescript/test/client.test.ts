/** SladClient against the daemon: every call, errors, deadlines, repetition, connections. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import {
  AlreadyExists,
  Cancelled,
  DeadlineExceeded,
  durationOf,
  FailedPrecondition,
  Internal,
  InvalidArgument,
  millisecondsOf,
  NO_RETRY,
  NotFound,
  PermissionDenied,
  SladClient,
  SladError,
  SladTestClock,
  type SlaLedgerEntry,
  Unauthenticated,
  Unavailable,
  Unimplemented,
} from "../src/index.js";
import { COMMAND, daemon, HOUR, MINUTE, MONDAY_9, PATIENCE_MS } from "./daemon.js";

const TARGETS = [{ response_time_minutes: 60, resolution_time_minutes: 480, is_24x7: true }];
const TICKET = { tenant_id: "acme", ticket_id: "T-1" };

/** A server of the test's own; its address. */
async function listening(context: TestContext, server: Server): Promise<string> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket) => sockets.add(socket));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  context.after(() => {
    server.close();
    for (const socket of sockets) {
      socket.destroy();
    }
  });
  return `127.0.0.1:${(server.address() as { port: number }).port}`;
}

function clientOf(context: TestContext, options: ConstructorParameters<typeof SladClient>[0]): SladClient {
  const client = new SladClient(options);
  context.after(() => client.close());
  return client;
}

test("what share of promises was kept", async (t) => {
  const { client, clock } = await daemon(t);
  await client.startSlaTracking({ ...TICKET, targets: TARGETS, policy_id: "gold" });
  await clock.advanceBy(30 * MINUTE);
  await client.completeSla({ ...TICKET, phase: "SLA_PHASE_RESPONSE" });
  const annotation = { ...TICKET, clock: "response", reason_code: "vendor", excused: true };
  assert.equal((await client.annotateSla(annotation)).changed, true);
  const asked = {
    tenant_id: TICKET.tenant_id,
    from_time: MONDAY_9,
    to_time: new Date(MONDAY_9.getTime() + 1_000 * HOUR),
    group_by: ["SLA_GROUP_KEY_CLOCK" as const],
  };
  const report = await client.reportSla(asked);
  assert.deepEqual(
    report.rows.map(({ group, met, open_in_time, attainment }) => [group[0], met, open_in_time, attainment]),
    [
      ["resolution", 0, 1, undefined],
      ["response", 1, 0, 1],
    ],
  );
  assert.deepEqual((await client.reportSla({ ...asked, as_of: report.as_of })).total, report.total);
  const entries: SlaLedgerEntry[] = [];
  for await (const entry of client.unfoldSlaReport({ ...asked, figures: ["SLA_FIGURE_MET"] })) {
    entries.push(entry);
  }
  assert.deepEqual(
    entries.map(({ ticket_id, clock: name, reason_code }) => [ticket_id, name, reason_code]),
    [[TICKET.ticket_id, "response", "vendor"]],
  );
  const ahead = await client.forecastSla({ tenant_id: TICKET.tenant_id, until: asked.to_time });
  assert.equal(ahead.total?.will_miss, 1);
});

test("every call of the service", async (t) => {
  const { client, clock } = await daemon(t);
  const started = await client.startSlaTracking({
    ...TICKET,
    targets: TARGETS,
    policy_id: "gold",
    notification_thresholds: [50],
    started_at: new Date(MONDAY_9.getTime() - 10 * MINUTE),
    attributes: { queue: "first line" },
  });
  assert.equal(started.created, true);
  assert.equal(started.status.response_remaining_minutes, 50);
  assert.deepEqual(started.status.attributes, { queue: "first line" });
  assert.deepEqual(started.status.started_at, new Date("2026-03-02T08:50:00Z"));
  assert.equal(millisecondsOf(started.status.response?.target ?? durationOf(0)), HOUR);

  assert.equal(
    (await client.pauseSla({ ...TICKET, reason: "SLA_PAUSE_REASON_AWAITING_CLIENT" })).changed,
    true,
  );
  await clock.advanceBy(5 * MINUTE);
  assert.equal((await client.resumeSla(TICKET)).status.total_pause_minutes, 5);
  const retargeted = await client.retargetSla({
    ...TICKET,
    policy_id: "silver",
    targets: TARGETS,
    priority_id: null,
  });
  assert.equal(retargeted.status.policy_id, "silver");
  const progress: Array<[number, number]> = [];
  for await (const reply of client.retargetSlaTrackings({
    tenant_id: TICKET.tenant_id,
    which: { policy_id: "silver" },
    policy_id: "bronze",
    dry_run: true,
  })) {
    progress.push([reply.done, reply.total]);
  }
  assert.deepEqual(progress, [
    [0, 1],
    [1, 1],
  ]);
  const completed = await client.completeSla({ ...TICKET, phase: "SLA_PHASE_RESPONSE", met: false });
  assert.equal(completed.met, true);
  assert.equal(completed.met_differs, true);
  await client.completeSla({ ...TICKET, phase: "SLA_PHASE_RESOLUTION" });
  const reopened = await client.reopenSla({ ...TICKET, mode: "REOPEN_MODE_RESTART" });
  assert.equal(reopened.status.generation, 2);
  assert.equal(
    (await client.getSlaStatus({ ...TICKET, generation: 1 })).state,
    "SLA_TRACKING_STATE_COMPLETED",
  );
  const timeline = await client.getSlaTimeline({ ...TICKET, generation: 1 });
  assert.deepEqual(
    timeline.segments.map(({ kind, cause }) => [kind, cause]),
    [
      ["SLA_TIMELINE_KIND_COUNTED", ""],
      ["SLA_TIMELINE_KIND_PAUSED", "paused: awaiting client"],
    ],
  );
  const preview = await client.previewSla({ targets: TARGETS, as_of: new Date(MONDAY_9.getTime() + HOUR) });
  assert.equal(preview.response?.due_at?.toISOString(), "2026-03-02T10:05:00.000Z");
  assert.equal((await client.cancelSla(TICKET)).changed, true);

  await client.startSlaTracking({ ...TICKET, ticket_id: "T-2", targets: TARGETS });
  const listed: string[] = [];
  for await (const { ticket_id, generation } of client.listSlaTrackings({ page_size: 1 })) {
    listed.push(`${ticket_id}/${generation}`);
  }
  assert.deepEqual(listed, ["T-1/1", "T-1/2", "T-2/1"]);

  for await (const event of client.watchSlaEvents({ consumer: "psa" })) {
    await client.ackSlaEvents({ consumer: "psa", sequence: event.sequence });
    break;
  }
  const [consumer] = await client.listSlaConsumers();
  assert.equal(consumer?.consumer, "psa");
  assert.equal(consumer?.acknowledged_sequence, 1);
  for (;;) {
    try {
      await client.removeSlaConsumer({ consumer: "psa" });
      break;
    } catch (error) {
      // The daemon hears of the end of the stream in its own time.
      assert.ok(error instanceof FailedPrecondition && error.reason === "CONSUMER_IN_USE", String(error));
    }
  }
  assert.deepEqual(await client.listSlaConsumers(), []);
});

test("import and reconciliation", async (t) => {
  const { client } = await daemon(t);
  const row = (ticket_id: string, more = {}) => ({
    start: { ...TICKET, ticket_id, targets: TARGETS, ...more },
  });
  const started_at = new Date(MONDAY_9.getTime() - HOUR);
  async function* rows() {
    for (let number = 0; number < 2_500; number += 1) {
      yield row(`T-${number}`, { started_at, suppress_past: true });
    }
    yield row("bad", { targets: [] });
  }
  const imported = await client.importSlaTrackings(rows());
  assert.equal(imported.created, 2_500);
  assert.deepEqual(
    imported.rejected.map(({ index, ticket_id, field }) => [index, ticket_id, field]),
    [[2_500, "bad", "start.targets"]],
  );
  const again = await client.importSlaTrackings([row("T-0")]);
  assert.equal(again.kept, 1);

  let asked = 0;
  const open = async function* () {
    asked += 1;
    yield row("T-0", { started_at });
    yield row("new", { started_at });
  };
  const told = await client.reconcileSlaTrackings({ tenant_id: "acme" }, open);
  assert.equal(asked, 1);
  const kinds = new Map<string, number>();
  for (const { kind, mended } of told.differences) {
    assert.equal(mended, false);
    kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
  }
  assert.deepEqual(Object.fromEntries(kinds), {
    SLA_DIFFERENCE_KIND_ORPHANED: 2_499,
    SLA_DIFFERENCE_KIND_MISSING: 1,
  });
  const mended = await client.reconcileSlaTrackings({ tenant_id: "acme", apply: true }, open);
  assert.ok(mended.differences.every((difference) => difference.mended));
  assert.deepEqual((await client.reconcileSlaTrackings({ tenant_id: "acme" }, open)).differences, []);
  const startedLater = new Date(started_at.getTime() + 1_500);
  const later = [row("T-0", { started_at: startedLater }), row("new", { started_at: startedLater })];
  assert.equal((await client.reconcileSlaTrackings({ tenant_id: "acme" }, later)).differences.length, 2);
  const near = await client.reconcileSlaTrackings({ tenant_id: "acme", tolerance: 2_000 }, later);
  assert.deepEqual(near.differences, []);

  await assert.rejects(client.importSlaTrackings([row("T-9", { policy_id: 7 })]), (error) => {
    assert.ok(error instanceof InvalidArgument);
    assert.equal(error.field, "trackings[0].start.policy_id");
    return true;
  });
  await assert.rejects(client.reconcileSlaTrackings({ tenant_id: "" }, [row("T-0")]), InvalidArgument);
  const broken = new Error("the database went away");
  await assert.rejects(
    client.reconcileSlaTrackings({ tenant_id: "acme", apply: true }, () => {
      throw broken;
    }),
    broken,
  );
  assert.equal(
    (await client.getSlaStatus({ ...TICKET, ticket_id: "T-0" })).state,
    "SLA_TRACKING_STATE_ACTIVE",
  );
});

test("errors have class, field, reason and metadata", async (t) => {
  const { client } = await daemon(t);
  const schedule = {
    timezone: "UTC",
    entries: [{ day_of_week: 1, start_time: "09:00", end_time: "x", is_enabled: true }],
  };
  await assert.rejects(
    client.startSlaTracking({ ...TICKET, targets: [{ response_time_minutes: 60 }], schedule }),
    (error) => {
      assert.ok(error instanceof InvalidArgument);
      assert.ok(error instanceof SladError);
      assert.ok(!(error instanceof NotFound));
      assert.equal(error.name, "InvalidArgument");
      assert.equal(error.status, "INVALID_ARGUMENT");
      assert.equal(error.field, "schedule.entries[0].end_time");
      assert.equal(error.reason, "MALFORMED_TIME");
      assert.equal(error.violations[0]?.reason, "MALFORMED_TIME");
      assert.match(error.requestId, /^[0-9a-f-]{36}$/);
      return true;
    },
  );
  await client.startSlaTracking({ ...TICKET, targets: TARGETS });
  await assert.rejects(
    client.startSlaTracking({ ...TICKET, targets: TARGETS, on_existing: "ON_EXISTING_FAIL" }),
    (error) => error instanceof AlreadyExists && error.reason === "TRACKING_EXISTS",
  );
  await client.cancelSla({ ...TICKET, request_id: "once" });
  await assert.rejects(
    client.resumeSla({ ...TICKET, request_id: "once" }),
    (error) => error instanceof FailedPrecondition && error.reason === "REQUEST_ID_REUSED",
  );
  await assert.rejects(client.getSlaStatus({ ticket_id: "T-0" }), NotFound);
});

test("what cannot be right is refused before it is sent", async (t) => {
  // Nobody is there, so a refusal can only be the client's own.
  const client = clientOf(t, { address: "127.0.0.1:1", timeoutMs: 60_000 });
  // biome-ignore lint/suspicious/noExplicitAny: this is JavaScript calling
  const js = client as any;
  const refusal = async (call: Promise<unknown>) => {
    const error = await call.then(
      () => undefined,
      (raised: unknown) => raised,
    );
    assert.ok(error instanceof InvalidArgument, String(error));
    return `${error.field} ${error.reason}`;
  };
  const start = (more: object) => refusal(js.startSlaTracking({ ...TICKET, targets: TARGETS, ...more }));
  assert.equal(await refusal(js.startSlaTracking(null)), "request REQUIRED");
  assert.equal(await refusal(js.pauseSla("T-1")), "request WRONG_TYPE");
  assert.equal(await start({ ticket_id: 7 }), "ticket_id WRONG_TYPE");
  assert.equal(await start({ ticketId: "T-1" }), "ticketId UNKNOWN_FIELD");
  assert.equal(await start({ started_at: "2026-03-02" }), "started_at WRONG_TYPE");
  assert.equal(await start({ started_at: new Date("x") }), "started_at MALFORMED_TIMESTAMP");
  assert.equal(await start({ continue_within: 0.5 }), "continue_within NOT_AN_INTEGER");
  assert.equal(
    await start({ continue_within: { seconds: Number.NaN } }),
    "continue_within.seconds NOT_AN_INTEGER",
  );
  assert.equal(await start({ on_existing: 1 }), "on_existing WRONG_TYPE");
  assert.equal(await start({ on_existing: "KEEP" }), "on_existing UNKNOWN_ENUM_VALUE");
  assert.equal(await start({ attributes: { a: 1 } }), "attributes.a WRONG_TYPE");
  assert.equal(await start({ attributes: ["a"] }), "attributes WRONG_TYPE");
  assert.equal(await start({ targets: {} }), "targets WRONG_TYPE");
  assert.equal(await start({ targets: [TARGETS[0], undefined] }), "targets[1] REQUIRED");
  assert.equal(
    await start({ targets: [{ response_time_minutes: Number.NaN }] }),
    "targets[0].response_time_minutes NOT_AN_INTEGER",
  );
  assert.equal(
    await start({ targets: [{ response_time_minutes: 1.5 }] }),
    "targets[0].response_time_minutes NOT_AN_INTEGER",
  );
  assert.equal(
    await start({ notification_thresholds: [2 ** 40] }),
    "notification_thresholds[0] NOT_AN_INTEGER",
  );
  assert.equal(await start({ suppress_past: "true" }), "suppress_past WRONG_TYPE");
  assert.equal(
    await refusal(js.getSlaStatus({ ticket_id: "T-1", generation: 1.5 })),
    "generation NOT_AN_INTEGER",
  );
  assert.equal(await refusal(js.ackSlaEvents({ consumer: "psa", sequence: "7" })), "sequence WRONG_TYPE");
  assert.equal(
    await refusal(js.getSlaStatus({ ticket_id: "T-1" }, { timeoutMs: Number.NaN })),
    "timeoutMs OUT_OF_RANGE",
  );
  assert.throws(() => new SladClient({ timeoutMs: 0 }), InvalidArgument);
});

test("a daemon that is not there gives an error within the time, not a hang", async (t) => {
  const absent = clientOf(t, { address: "127.0.0.1:1", timeoutMs: 1_000 });
  const noSocket = clientOf(t, { address: "unix:/nowhere/slad.sock", timeoutMs: 1_000 });
  // It takes connections and never says a word.
  const mute = clientOf(t, {
    address: await listening(
      t,
      createServer(() => undefined),
    ),
    timeoutMs: 1_000,
  });
  for (const [client, kinds] of [
    [absent, [Unavailable, DeadlineExceeded]],
    [noSocket, [Unavailable, DeadlineExceeded]],
    [mute, [DeadlineExceeded]],
  ] as const) {
    const begun = performance.now();
    await assert.rejects(client.startSlaTracking({ ...TICKET, targets: TARGETS }), (error) => {
      assert.ok(error instanceof SladError && kinds.some((kind) => error instanceof kind), `${error}`);
      assert.match(error.requestId, /^[0-9a-f-]{36}$/);
      return true;
    });
    assert.ok(performance.now() - begun < PATIENCE_MS / 2);
  }
});

test("a command whose answer does not come is sent again, and carried out once", async (t) => {
  const slad = await daemon(t, { client: { retry: { attemptTimeoutMs: 200, attempts: 1_000 } } });
  await slad.client.startSlaTracking({ ...TICKET, targets: TARGETS });
  slad.signal("SIGSTOP");
  const pause = slad.client.pauseSla({ ...TICKET, reason: "SLA_PAUSE_REASON_STATUS_PAUSE" });
  // Long enough for several attempts, all of which the daemon finds when it wakes.
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  slad.signal("SIGCONT");
  assert.equal((await pause).changed, true);
  const types: string[] = [];
  for (const event of (await slad.client.getSlaTimeline(TICKET)).events) {
    types.push(event.type);
  }
  assert.deepEqual(types, ["SLA_EVENT_TYPE_STARTED", "SLA_EVENT_TYPE_PAUSED"]);
});

test("calls outlast a restart of the daemon", async (t) => {
  const slad = await daemon(t, { client: { retry: { attempts: 1_000 } } });
  await slad.client.startSlaTracking({ ...TICKET, targets: TARGETS });
  await slad.stop("SIGKILL");
  const resumed = slad.client.pauseSla({ ...TICKET, reason: "SLA_PAUSE_REASON_STATUS_PAUSE" });
  await assert.rejects(slad.client.getSlaStatus(TICKET, { retry: NO_RETRY }), Unavailable);
  await slad.start(new Date(MONDAY_9.getTime() + MINUTE));
  assert.equal((await resumed).changed, true);
});

test("a call ends when its signal is aborted, or the client closed", async (t) => {
  const client = clientOf(t, {
    address: await listening(
      t,
      createServer(() => undefined),
    ),
    timeoutMs: PATIENCE_MS,
  });
  const giveUp = new AbortController();
  const calls = Array.from({ length: 20 }, () => client.getSlaStatus(TICKET, { signal: giveUp.signal }));
  setTimeout(() => giveUp.abort(), 50);
  for (const call of calls) {
    await assert.rejects(call, Cancelled);
  }
  await assert.rejects(client.getSlaStatus(TICKET, { signal: giveUp.signal }), Cancelled);
  const waiting = client.getSlaStatus(TICKET);
  setTimeout(() => client.close(), 50);
  await assert.rejects(waiting, Cancelled);
  await assert.rejects(client.getSlaStatus(TICKET), Cancelled);
});

test("TCP and a Unix socket", async (t) => {
  const slad = await daemon(t, { arguments: ["--listen", "127.0.0.1:0"] });
  await slad.client.startSlaTracking({ ...TICKET, targets: TARGETS });
  const tcp = clientOf(t, { address: slad.tcp[0] });
  assert.equal((await tcp.getSlaStatus(TICKET)).ticket_id, "T-1");
});

test("TLS and tokens", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "slad-tls-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const subject =
    "-subj /CN=slad.example -addext subjectAltName=DNS:slad.example -addext extendedKeyUsage=serverAuth";
  const request =
    "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -keyout key.pem -out cert.pem";
  execFileSync("openssl", `${request} ${subject}`.split(" "), { cwd: folder, stdio: "ignore" });
  const ca = readFileSync(join(folder, "cert.pem"));
  const tls = { ca, serverName: "slad.example" };
  const files = ["--tls-cert", join(folder, "cert.pem"), "--tls-key", join(folder, "key.pem")];
  const slad = await daemon(t, { arguments: ["--listen", "127.0.0.1:0", ...files] });
  await slad.client.startSlaTracking({ ...TICKET, targets: TARGETS });
  const made = [
    "tokens",
    "create",
    "--data",
    slad.data,
    "--tenant",
    "acme",
    "--role",
    "write",
    "--name",
    "psa",
  ];
  const secret = execFileSync(COMMAND, made, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });

  const address = slad.tcp[0]?.replace("127.0.0.1", "localhost") as string;
  let asked = 0;
  const token = async () => {
    asked += 1;
    return secret;
  };
  const client = clientOf(t, { address, tls, token, timeoutMs: PATIENCE_MS });
  assert.equal((await client.getSlaStatus(TICKET)).ticket_id, "T-1");
  for await (const event of client.watchSlaEvents({ after_sequence: 0, tenant_id: "acme" })) {
    assert.equal(event.ticket_id, "T-1");
    break;
  }
  assert.equal(asked, 2, "a token is asked for with every call");
  const denied = await client.getSlaStatus({ ...TICKET, tenant_id: "other" }).catch((error) => error);
  assert.ok(denied instanceof PermissionDenied);
  const nobody = clientOf(t, { address, tls, timeoutMs: PATIENCE_MS });
  await assert.rejects(nobody.getSlaStatus(TICKET), Unauthenticated);
  for (const wrong of [true, { ca, serverName: "other.example" }, false] as const) {
    const stranger = clientOf(t, { address, tls: wrong, token, timeoutMs: 1_000 });
    await assert.rejects(stranger.getSlaStatus(TICKET), (error) => error instanceof SladError);
  }
});

test("without a virtual clock there is none to move, and errors of gRPC's own are typed", async (t) => {
  const slad = await daemon(t);
  assert.deepEqual(await slad.clock.now(), MONDAY_9);
  await slad.clock.advanceTo(new Date("2026-03-03T00:00:00Z"));
  await assert.rejects(
    slad.clock.advanceTo(MONDAY_9),
    (error) => error instanceof InvalidArgument && error.field === "to",
  );
  const nobody = new SladTestClock({ address: "127.0.0.1:1", timeoutMs: 500 });
  t.after(() => nobody.close());
  await assert.rejects(nobody.now(), Unavailable);
});

test("instanceof holds over copies of the package", () => {
  const key = Symbol.for("@slad/client.error");
  const foreign = Object.defineProperty(new Error("of another copy"), key, { value: 5 });
  assert.ok(foreign instanceof NotFound);
  assert.ok(foreign instanceof SladError);
  assert.ok(!(foreign instanceof Internal));
  assert.ok(!(new Error("x") instanceof SladError));
  class Mine extends NotFound {}
  assert.ok(!(foreign instanceof Mine));
  assert.ok(new Mine(5, "x") instanceof Mine);
  assert.ok(new Mine(5, "x") instanceof NotFound);
  assert.equal(new Unimplemented(12, "x").status, "UNIMPLEMENTED");
});
