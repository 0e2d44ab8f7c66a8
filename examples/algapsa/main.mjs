/**
 * Plays two weeks of a service desk against a daemon under the virtual clock, and prints who was notified of
 * what. The daemon's address is the first argument; its time must not be beyond the beginning of the story.
 */

import { SladClient, SladSlaBackend, SladTestClock, SlaEventConsumer } from "@slad/client";
import { ZONE } from "./desk.mjs";
import { Notifier } from "./notifier.mjs";
import { Psa } from "./psa.mjs";
import { BEGIN, END, story } from "./story.mjs";

const CONSUMER = "notifier";

const address = process.argv[2] ?? "127.0.0.1:7523";
const client = new SladClient({ address });
const clock = new SladTestClock({ address });
const psa = new Psa(new SladSlaBackend({ client }));
const notifier = new Notifier(psa);

const stop = new AbortController();
const consumer = new SlaEventConsumer(client, {
  consumer: CONSUMER,
  handlers: notifier.handlers,
  ackIntervalMs: 1,
});
const consuming = consumer.run({ signal: stop.signal });

/** Moves time, and waits until everybody has been told of what fell due. */
async function advanceTo(instant) {
  await clock.advanceTo(instant);
  await delivered();
}

async function delivered() {
  for (;;) {
    const consumers = await client.listSlaConsumers();
    const own = consumers.find(({ consumer: name }) => name === CONSUMER);
    if (own?.lag === 0) {
      return;
    }
    await Promise.race([consuming, new Promise((resolve) => setTimeout(resolve, 1))]);
  }
}

const stamp = new Intl.DateTimeFormat("en-GB", {
  timeZone: ZONE,
  weekday: "short",
  day: "2-digit",
  month: "2-digit",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
});

try {
  await advanceTo(BEGIN);
  for (const { at, method, args } of story()) {
    await advanceTo(at);
    await psa[method](...args);
  }
  await advanceTo(END);
} finally {
  stop.abort();
  await consuming;
  client.close();
  clock.close();
}

for (const [person, inbox] of [...notifier.inboxes].sort()) {
  console.log(`${person}: ${inbox.length} messages`);
  for (const { occurredAt, ticketId, text } of inbox) {
    console.log(`  ${stamp.format(occurredAt).replaceAll(",", "")}  ${ticketId}: ${text}`);
  }
}
const count = (phase, met) => notifier.verdicts.filter((v) => v.phase === phase && v.met === met).length;
console.log("Verdicts");
for (const phase of ["response", "resolution"]) {
  console.log(`  ${phase}: ${count(phase, true)} in time, ${count(phase, false)} missed`);
}
