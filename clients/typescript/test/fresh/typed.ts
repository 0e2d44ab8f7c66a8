// In a folder that has nothing but the packed package: TypeScript.
import { type ISlaBackend, type ISlaStatus, SladClient, SladSlaBackend, type SlaEvent } from "@slad/client";

const client: SladClient = new SladClient({ address: process.argv[2] });
const sla: ISlaBackend = new SladSlaBackend({ client });

async function main(): Promise<void> {
  const { status } = await client.startSlaTracking({
    tenant_id: "acme",
    ticket_id: "TS-1",
    targets: [{ response_time_minutes: 45, is_24x7: true }],
  });
  const due: Date | undefined = status.response?.due_at;
  const told: ISlaStatus | null = await sla.getSlaStatus("TS-1");
  let first: SlaEvent | undefined;
  for await (const event of client.watchSlaEvents({ after_sequence: 0, types: ["SLA_EVENT_TYPE_STARTED"] })) {
    first = event;
    break;
  }
  client.close();
  console.log(`ts ${told?.response_remaining_minutes} ${due !== undefined} ${first?.type}`);
}
void main();
