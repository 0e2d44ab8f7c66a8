/** What of AlgaPSA's @alga-psa/db the page uses. */

import createKnex, { type Knex } from "knex";

// biome-ignore lint/suspicious/noExplicitAny: AlgaPSA's rows have no type here either
type Row = any;

const TENANT_TABLES = new Set([
  "business_hours_entries",
  "business_hours_schedules",
  "escalation_managers",
  "holidays",
  "sla_audit_log",
  "sla_notification_thresholds",
  "sla_policies",
  "sla_policy_targets",
  "ticket_resources",
  "tickets",
]);

let shared: Knex | undefined;

export async function getConnection(_tenantId?: string | null): Promise<Knex> {
  shared ??= createKnex({ client: "pg", connection: process.env.DATABASE, pool: { min: 0, max: 10 } });
  return shared;
}

export async function destroyTenantConnection(): Promise<void> {
  await shared?.destroy();
  shared = undefined;
}

export async function withTransaction<T>(
  tenantId: string,
  callback: (trx: Knex.Transaction) => Promise<T>,
): Promise<T> {
  return (await getConnection(tenantId)).transaction(callback);
}

/** Only tables that are registered have tenants; any other is an error. */
export function tenantDb(conn: Knex | Knex.Transaction, tenant: string | null | undefined) {
  if (!tenant?.trim()) {
    throw new Error("tenantDb requires a tenant id");
  }
  return {
    tenant,
    table(name: string): Knex.QueryBuilder<Row, Row[]> {
      if (!TENANT_TABLES.has(name)) {
        throw new Error(`No tenant scope is registered for table ${name}`);
      }
      return conn<Row, Row[]>(name).where(`${name}.tenant`, tenant);
    },
  };
}
