// Delayed sends to pg-boss, so many in flight for so many seconds: node send.mjs CONNECTION IN_FLIGHT SECONDS BATCH
// With a BATCH of more than 1 each is an insert of so many jobs.
import PgBoss from 'pg-boss';

const [connectionString, inFlight, seconds, batch] = process.argv.slice(2);
const boss = new PgBoss({ connectionString, max: Math.min(Number(inFlight), 64), supervise: false, schedule: false });
await boss.start();
await boss.createQueue('sla');

let count = 0;
let stopping = false;
const data = () => ({ ticketId: crypto.randomUUID(), tenantId: 'acme', phase: 'response', percent: 50 });
const send = () => boss.send('sla', data(), { startAfter: 3600 });
const insert = () => boss.insert(Array.from({ length: Number(batch) }, () => ({ name: 'sla', data: data(), startAfter: 3600 })));
const lane = async () => {
  while (!stopping) {
    await (Number(batch) > 1 ? insert() : send());
    count += Number(batch);
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
