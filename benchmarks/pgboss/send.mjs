// Delayed sends to pg-boss, so many in flight for so many seconds: node send.mjs CONNECTION IN_FLIGHT SECONDS
import PgBoss from 'pg-boss';

const [connectionString, inFlight, seconds] = process.argv.slice(2);
const boss = new PgBoss({ connectionString, max: Math.min(Number(inFlight), 64), supervise: false, schedule: false });
await boss.start();
await boss.createQueue('sla');

let count = 0;
let stopping = false;
const lane = async () => {
  while (!stopping) {
    await boss.send('sla', { ticketId: crypto.randomUUID(), tenantId: 'acme', phase: 'response', percent: 50 }, { startAfter: 3600 });
    count += 1;
  }
};
const lanes = Array.from({ length: Number(inFlight) }, lane);
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
await sleep(1000);
count = 0;
const begun = performance.now();
await sleep(Number(seconds) * 1000);
const rate = count / ((performance.now() - begun) / 1000);
stopping = true;
await Promise.all(lanes);
console.log(JSON.stringify({ rate }));
await boss.stop({ graceful: false });
process.exit(0);
