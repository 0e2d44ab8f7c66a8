// In a folder that has nothing but the packed package: CommonJS.
const { NotFound, SladClient } = require("@slad/client");

async function main() {
  const client = new SladClient({ address: process.argv[2] });
  const targets = [{ resolution_time_minutes: 90, is_24x7: true }];
  const { created, status } = await client.startSlaTracking({
    tenant_id: "acme",
    ticket_id: "CJS-1",
    targets,
  });
  const unknown = await client.getSlaStatus({ ticket_id: "CJS-0" }).catch((error) => error);
  client.close();
  // The copy for ESM is another one; an error of this one is of its classes, too.
  const esm = await import("@slad/client");
  const shared = unknown instanceof NotFound && unknown instanceof esm.NotFound && esm.NotFound !== NotFound;
  console.log(`cjs ${created} ${status.resolution_remaining_minutes} ${shared}`);
}
main();
