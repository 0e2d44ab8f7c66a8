/** What pipelines put into messages, and whose result is whose: without a server and without time. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { status as Status } from "@grpc/grpc-js";
import { Backlog, MAX_MESSAGE_BYTES, MAX_UNDER_WAY, type Outcome, PER_MESSAGE } from "../src/backlog.js";
import { errorOf, InvalidArgument, PermissionDenied, ResourceExhausted, SladError } from "../src/errors.js";
import { DEFAULT_RETRY, NO_RETRY, type RetryPolicy } from "../src/retry.js";
import { ErrorInfo, RetryInfo } from "../src/stubs/google/rpc/error_details.js";
import { CancelSlaRequest, type SlaResult } from "../src/stubs/slad/v1/sla_backend.js";

const TIMEOUT_MS = 5_000;
const TYPE = "type.googleapis.com/google.rpc.";

/** A backlog, with its caller and its server. */
class Pipe {
  now = 100;
  readonly backlog: Backlog;
  readonly outcomes = new Map<string, Outcome>();

  constructor(retry: RetryPolicy = DEFAULT_RETRY) {
    this.backlog = new Backlog({ timeoutMs: TIMEOUT_MS, retry, omitStatus: true }, () => this.now);
  }

  /** Cancels of tickets, each under its name as the request_id too. */
  put(names: Iterable<string>, once = false) {
    return Array.from(names, (name) => {
      const cancel = CancelSlaRequest.fromPartial({ ticket_id: name, request_id: name });
      return this.backlog.put({ cancel }, name, once, (outcome) => {
        assert.ok(!this.outcomes.has(name), `${name} is told twice`);
        this.outcomes.set(name, outcome);
      });
    });
  }

  /** The tickets of the next message. */
  sent(): string[] {
    return this.backlog.message()?.commands.map(({ cancel }) => cancel?.ticket_id ?? "") ?? [];
  }

  answer(...results: (boolean | SlaResult)[]): void {
    const told = results.map((result) =>
      typeof result === "boolean" ? { cancel: { changed: result, status: undefined } } : result,
    );
    this.backlog.answer({ results: told });
  }

  changed(names: Iterable<string>): unknown[] {
    return Array.from(names, (name) => (this.outcomes.get(name) as SlaResult | undefined)?.cancel?.changed);
  }

  error(name: string): SladError {
    const outcome = this.outcomes.get(name);
    assert.ok(outcome instanceof SladError, `${name}: ${outcome}`);
    return outcome;
  }
}

function refusal(code: Status, reason: string, seconds = 0): SlaResult {
  const info = ErrorInfo.encode(ErrorInfo.fromPartial({ reason })).finish();
  const details = [{ type_url: `${TYPE}ErrorInfo`, value: Buffer.from(info) }];
  if (seconds > 0) {
    const pause = RetryInfo.encode({ retry_delay: { seconds, nanos: 0 } }).finish();
    details.push({ type_url: `${TYPE}RetryInfo`, value: Buffer.from(pause) });
  }
  return { error: { code, message: "no", details } };
}

const names = (count: number) => Array.from({ length: count }, (_, number) => `T-${number}`);
const gone = (code: Status = Status.UNAVAILABLE) => errorOf(code, "gone");

test("what waits goes together, and responses may be cut anywhere", () => {
  const pipe = new Pipe();
  assert.deepEqual(pipe.sent(), []);
  pipe.put("ABC");
  assert.deepEqual(pipe.sent(), ["A", "B", "C"]);
  assert.deepEqual(pipe.sent(), []);
  pipe.put("D");
  assert.deepEqual(pipe.sent(), ["D"]);
  pipe.answer(true, false);
  pipe.answer(true, true);
  assert.deepEqual(pipe.changed("ABCD"), [true, false, true, true]);
  assert.equal(pipe.backlog.size, 0);
  assert.throws(() => pipe.answer(true), /more results than commands/);
});

test("a message is bounded, and so is what is under way", () => {
  const pipe = new Pipe();
  pipe.put(names(MAX_UNDER_WAY + 300));
  const sizes: number[] = [];
  for (let sent = pipe.sent(); sent.length > 0; sent = pipe.sent()) {
    sizes.push(sent.length);
  }
  assert.equal(
    sizes.reduce((sum, size) => sum + size),
    MAX_UNDER_WAY,
  );
  assert.equal(Math.max(...sizes), PER_MESSAGE);
  // A little room is left alone: many small messages would follow.
  pipe.answer(...Array(PER_MESSAGE - 1).fill(true));
  assert.deepEqual(pipe.sent(), []);
  pipe.answer(true);
  assert.equal(pipe.sent().length, PER_MESSAGE);
});

test("the bytes of a message are bounded, and what none can hold is refused alone", () => {
  const pipe = new Pipe();
  // The name stands twice in a command.
  const third = "x".repeat(MAX_MESSAGE_BYTES / 6);
  pipe.put([`1${third}`, `2${third}`, "A", `3${third}`, third.repeat(8), "B", "y".repeat(4 << 20)]);
  assert.deepEqual(
    [1, 2, 3, 4, 5].map(() => pipe.sent().length),
    [3, 1, 1, 1, 0],
  );
  assert.ok(pipe.error("y".repeat(4 << 20)) instanceof ResourceExhausted);
});

test("a refusal is of its command alone", () => {
  const pipe = new Pipe();
  pipe.put("ABC");
  pipe.sent();
  pipe.answer(true, refusal(Status.INVALID_ARGUMENT, "REQUIRED"), false);
  assert.deepEqual(pipe.changed("AC"), [true, false]);
  const error = pipe.error("B");
  assert.ok(error instanceof InvalidArgument);
  assert.deepEqual([error.reason, error.requestId], ["REQUIRED", "B"]);
});

test("what slad refuses for now is sent again, with all that was sent behind it", () => {
  const pipe = new Pipe();
  pipe.put("ABCDE");
  pipe.sent();
  // C may be of the ticket that B would have started: what it says counts for nothing.
  const results = [refusal(Status.UNAVAILABLE, "CANNOT_WRITE", 1), refusal(Status.NOT_FOUND, "NO"), true];
  assert.throws(
    () => pipe.answer(true, ...results),
    (error: SladError) => {
      pipe.backlog.broke(error);
      return error.reason === "CANNOT_WRITE";
    },
  );
  assert.deepEqual([...pipe.outcomes.keys()], ["A"]);
  const pause = pipe.backlog.takePause();
  assert.ok(pause >= 1_000 && pause <= 1_000 + DEFAULT_RETRY.firstDelayMs, `${pause}`);
  assert.equal(pipe.backlog.takePause(), 0);
  pipe.put("F");
  assert.deepEqual(pipe.sent(), [..."BCDEF"]);
});

test("a result that says nothing is an error of its command", () => {
  const pipe = new Pipe();
  pipe.put("A");
  pipe.sent();
  pipe.answer({});
  assert.equal(pipe.error("A").status, "INTERNAL");
});

for (const code of [
  undefined,
  Status.UNAVAILABLE,
  Status.CANCELLED,
  Status.INTERNAL,
  Status.DEADLINE_EXCEEDED,
]) {
  test(`what has no answer is sent again in order: ${code && Status[code]}`, () => {
    const pipe = new Pipe();
    pipe.put("ABCD");
    pipe.sent();
    pipe.put("EF");
    pipe.answer(true, false);
    pipe.backlog.broke(code === undefined ? undefined : gone(code));
    assert.deepEqual(pipe.sent(), [..."CDEF"]);
    pipe.answer(true, true, true, false);
    assert.deepEqual(pipe.changed("ABCDEF"), [true, false, true, true, true, false]);
  });
}

test("an error that no other stream would mend ends all, and a stream that nobody needs may break", () => {
  const pipe = new Pipe();
  pipe.backlog.broke(gone(Status.UNAUTHENTICATED));
  pipe.put("AB");
  pipe.sent();
  pipe.put("C");
  pipe.backlog.broke(gone(Status.PERMISSION_DENIED));
  for (const name of "ABC") {
    assert.ok(pipe.error(name) instanceof PermissionDenied);
    assert.equal(pipe.error(name).requestId, name);
  }
  pipe.put("D");
  assert.deepEqual(pipe.sent(), ["D"]);
});

test("without retries a command is sent once", () => {
  const pipe = new Pipe();
  pipe.put("A", true);
  pipe.put("B");
  pipe.sent();
  pipe.backlog.broke(gone());
  assert.equal(pipe.error("A").status, "UNAVAILABLE");
  assert.deepEqual(pipe.sent(), ["B"]);
  const never = new Pipe(NO_RETRY);
  never.put("A");
  never.sent();
  never.answer(refusal(Status.UNAVAILABLE, "STOPPING"));
  assert.equal(never.error("A").reason, "STOPPING");
});

test("a pipeline that hears nothing gives everything up, with what was wrong", () => {
  const pipe = new Pipe();
  pipe.put("ABC");
  pipe.sent();
  pipe.now += TIMEOUT_MS - 1_000;
  pipe.answer(true); // it counts from here
  pipe.now += TIMEOUT_MS - 100;
  pipe.backlog.expire();
  assert.equal(pipe.backlog.size, 2);
  pipe.now += 200;
  pipe.backlog.expire();
  assert.equal(pipe.error("B").status, "DEADLINE_EXCEEDED");
  pipe.answer(true, true); // after all
  pipe.put("D");
  pipe.sent();
  pipe.backlog.broke(gone());
  pipe.now += TIMEOUT_MS;
  pipe.backlog.expire();
  assert.equal(pipe.error("D").status, "UNAVAILABLE");
  assert.deepEqual(pipe.sent(), []);
});

test("what is given up leaves the results of others where they belong", () => {
  const pipe = new Pipe();
  const [late] = pipe.put("AB");
  const [, unsent] = [pipe.sent(), ...pipe.put("CD")];
  assert.ok(late && unsent);
  pipe.backlog.drop(late, gone(Status.DEADLINE_EXCEEDED));
  pipe.backlog.drop(unsent, gone(Status.CANCELLED));
  assert.deepEqual(pipe.sent(), ["D"]);
  pipe.answer(true, false, true);
  assert.deepEqual(pipe.changed("BD"), [false, true]);
  assert.equal(pipe.backlog.size, 0);
});

test("slad is silent when it does not say a word of what is under way", () => {
  const pipe = new Pipe();
  pipe.put("AB");
  pipe.now += DEFAULT_RETRY.attemptTimeoutMs;
  assert.equal(pipe.backlog.isSilent, false);
  pipe.sent();
  pipe.now += DEFAULT_RETRY.attemptTimeoutMs - 1;
  pipe.answer(true);
  assert.equal(pipe.backlog.dueIn(), DEFAULT_RETRY.attemptTimeoutMs);
  pipe.now += DEFAULT_RETRY.attemptTimeoutMs;
  assert.equal(pipe.backlog.isSilent, true);
});
