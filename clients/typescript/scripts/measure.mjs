/**
 * The figures of docs/adopting-in-algapsa.md, measured with the built package against the installed daemon in real
 * time, over a Unix socket. Takes about half a minute.
 */

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Client, credentials } from "@grpc/grpc-js";
import { SladClient, SladSlaBackend, SlaEventConsumer } from "../dist/esm/index.js";

const command =
  process.env.SLAD_COMMAND ?? fileURLToPath(new URL("../../../.venv/bin/slad", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "slad-measure-"));
const address = `unix:${folder}/slad.sock`;
const daemon = spawn(command, ["serve", "--listen", address, "--data", join(folder, "data")], {
  stdio: "ignore",
});
const client = new SladClient({ address, retry: { attempts: 100 }, timeoutMs: 60_000 });
const sla = new SladSlaBackend({ client, timeoutMs: 60_000 });
const grpc = new Client(address, credentials.createInsecure());

const target = {
  tenant: "acme",
  target_id: "t",
  sla_policy_id: "gold",
  priority_id: "high",
  response_time_minutes: 600,
  resolution_time_minutes: 4_800,
  escalation_1_percent: 80,
  escalation_2_percent: 0,
  escalation_3_percent: 0,
  is_24x7: false,
};
const office = {
  tenant: "acme",
  schedule_id: "office",
  schedule_name: "office",
  timezone: "Europe/Berlin",
  is_default: true,
  is_24x7: false,
  entries: [1, 2, 3, 4, 5].map((day_of_week) => ({
    entry_id: `${day_of_week}`,
    day_of_week,
    start_time: "08:00",
    end_time: "17:00",
    is_enabled: true,
  })),
};

function share(numbers, part) {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))];
}

/** Ms that each of `count` calls takes, so many at a time. */
async function timed(count, inFlight, call) {
  const times = [];
  let next = 0;
  const begun = performance.now();
  const lane = async () => {
    while (next < count) {
      const number = next;
      next += 1;
      const start = performance.now();
      await call(number);
      times.push(performance.now() - start);
    }
  };
  await Promise.all(Array.from({ length: inFlight }, lane));
  return { times, perSecond: Math.round((count * 1_000) / (performance.now() - begun)) };
}

function tell(what, { times, perSecond }) {
  const [p50, p99] = [0.5, 0.99].map((part) => share(times, part).toFixed(2));
  console.log(`${what}: p50 ${p50} ms, p99 ${p99} ms, ${perSecond}/s`);
}

/** A gRPC call that does next to nothing: grpc.health.v1. */
function check() {
  const raw = (bytes) => bytes;
  return new Promise((resolve, reject) => {
    const path = "/grpc.health.v1.Health/Check";
    grpc.makeUnaryRequest(path, raw, raw, Buffer.alloc(0), (error) => (error ? reject(error) : resolve()));
  });
}

try {
  await client.listSlaConsumers();
  await timed(500, 1, check);
  tell("health check, one after the other", await timed(2_000, 1, check));
  const start = (number) => sla.startSlaTracking(`T-${number}`, "gold", [target], office);
  tell("startSlaTracking, one after the other", await timed(2_000, 1, start));
  tell("startSlaTracking, 32 in flight", await timed(5_000, 32, (number) => start(2_000 + number)));
  const status = (number) => sla.getSlaStatus(`T-${number}`);
  tell("getSlaStatus, one after the other", await timed(2_000, 1, status));
  tell("getSlaStatus, 32 in flight", await timed(5_000, 32, status));

  let begun = performance.now();
  let listed = 0;
  for await (const _ of client.listSlaTrackings({ page_size: 1_000 })) {
    listed += 1;
    if (listed === 1_000) {
      break;
    }
  }
  console.log(`a list of 1,000 statuses: ${Math.round(performance.now() - begun)} ms`);

  const { tenant: _, ...schedule } = office;
  const rows = Array.from({ length: 20_000 }, (_, number) => ({
    start: {
      tenant_id: "acme",
      ticket_id: `I-${number}`,
      targets: [target],
      schedule,
      started_at: new Date(Date.now() - 3_600_000),
      suppress_past: true,
    },
  }));
  begun = performance.now();
  const { created } = await client.importSlaTrackings(rows);
  console.log(`import: ${Math.round((created * 1_000) / (performance.now() - begun))} tickets/s`);

  const late = [];
  const stop = new AbortController();
  let events = 0;
  const consumer = new SlaEventConsumer(client, {
    consumer: "measure",
    handlers: {
      onNotification: (n) => {
        if (n.ticketId.startsWith("L-") && n.thresholdPercent === 10) {
          late.push(Date.now() - n.occurredAt.getTime());
        }
      },
      onAny: () => {
        events += 1;
      },
    },
  });
  begun = performance.now();
  const consuming = consumer.run({ signal: stop.signal });
  while (events < 27_000) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  console.log(
    `SlaEventConsumer, backlog: ${Math.round((events * 1_000) / (performance.now() - begun))} events/s`,
  );
  // 10 % of a minute are 6 s: 150 tickets whose threshold falls due from 3 s on, 20 ms apart.
  const origin = Date.now() - 3_000;
  const soon = Array.from({ length: 150 }, (_, number) => ({
    start: {
      tenant_id: "acme",
      ticket_id: `L-${number}`,
      targets: [{ response_time_minutes: 1, is_24x7: true }],
      notification_thresholds: [10],
      started_at: new Date(origin + number * 20),
    },
  }));
  await client.importSlaTrackings(soon);
  while (late.length < soon.length) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  stop.abort();
  await consuming;
  console.log(`from the threshold to the handler: p50 ${share(late, 0.5)} ms, p99 ${share(late, 0.99)} ms`);
} finally {
  client.close();
  grpc.close();
  daemon.kill();
  await new Promise((resolve) => daemon.once("exit", resolve));
  rmSync(folder, { recursive: true, force: true });
}
