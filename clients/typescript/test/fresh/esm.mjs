// In a folder that has nothing but the packed package: ESM.
import { InvalidArgument, SladClient, SladSlaBackend, SladTestClock, SlaEventConsumer } from "@slad/client";

const address = process.argv[2];
const client = new SladClient({ address });
const sla = new SladSlaBackend({ client });
const always = {
  tenant: "acme",
  schedule_id: "s",
  schedule_name: "s",
  timezone: "UTC",
  is_24x7: true,
  entries: [],
};
await sla.startSlaTracking("ESM-1", "gold", [{ priority_id: "p", response_time_minutes: 60 }], always);
const { response_remaining_minutes } = await sla.getSlaStatus("ESM-1");
await sla.pauseSla("ESM-1", "lunch").catch((error) => {
  if (!(error instanceof InvalidArgument)) throw error;
});
const clock = new SladTestClock({ address });
await clock.advanceBy(30 * 60_000);
const stop = new AbortController();
const told = [];
const onNotification = ({ thresholdPercent }) => {
  told.push(thresholdPercent);
  stop.abort();
};
await new SlaEventConsumer(client, { consumer: "fresh", handlers: { onNotification } }).run(stop);
client.close();
clock.close();
console.log(`esm ${response_remaining_minutes} ${told}`);
