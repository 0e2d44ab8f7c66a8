-- Tables shaped like AlgaPSA's, as far as SLA goes: the same columns, types and foreign keys.

create table sla_policies (
  tenant uuid not null,
  sla_policy_id uuid not null,
  policy_name text not null,
  is_default boolean default false,
  business_hours_schedule_id uuid,
  primary key (tenant, sla_policy_id)
);

create table sla_policy_targets (
  tenant uuid not null,
  target_id uuid not null default gen_random_uuid(),
  sla_policy_id uuid not null,
  priority_id uuid not null,
  response_time_minutes integer,
  resolution_time_minutes integer,
  escalation_1_percent integer default 70,
  escalation_2_percent integer default 90,
  escalation_3_percent integer default 110,
  is_24x7 boolean default false,
  primary key (tenant, target_id),
  foreign key (tenant, sla_policy_id) references sla_policies (tenant, sla_policy_id)
);

create table sla_notification_thresholds (
  tenant uuid not null,
  threshold_id uuid not null default gen_random_uuid(),
  sla_policy_id uuid not null,
  threshold_percent integer not null,
  notification_type text not null default 'warning',
  primary key (tenant, threshold_id),
  unique (tenant, sla_policy_id, threshold_percent)
);

create table business_hours_schedules (
  tenant uuid not null,
  schedule_id uuid not null,
  schedule_name text not null,
  timezone text not null default 'America/New_York',
  is_default boolean default false,
  is_24x7 boolean default false,
  created_at timestamptz default now(),
  primary key (tenant, schedule_id)
);

create table business_hours_entries (
  tenant uuid not null,
  entry_id uuid not null default gen_random_uuid(),
  schedule_id uuid not null,
  day_of_week integer not null check (day_of_week between 0 and 6),
  start_time time not null,
  end_time time not null,
  is_enabled boolean default true,
  primary key (tenant, entry_id),
  unique (tenant, schedule_id, day_of_week)
);

create table holidays (
  tenant uuid not null,
  holiday_id uuid not null default gen_random_uuid(),
  schedule_id uuid,
  holiday_name text not null,
  holiday_date date not null,
  is_recurring boolean default false,
  primary key (tenant, holiday_id)
);

create table tickets (
  tenant uuid not null,
  ticket_id uuid not null default gen_random_uuid(),
  priority_id uuid,
  assigned_to uuid,
  closed_at timestamptz,
  attributes jsonb,
  escalated boolean default false,
  escalation_level integer check (escalation_level between 1 and 3),
  sla_policy_id uuid,
  sla_started_at timestamptz,
  sla_response_due_at timestamptz,
  sla_response_at timestamptz,
  sla_response_met boolean,
  sla_resolution_due_at timestamptz,
  sla_resolution_at timestamptz,
  sla_resolution_met boolean,
  sla_paused_at timestamptz,
  sla_total_pause_minutes integer not null default 0,
  primary key (tenant, ticket_id),
  foreign key (tenant, sla_policy_id) references sla_policies (tenant, sla_policy_id)
);

create table escalation_managers (
  tenant uuid not null,
  escalation_level integer not null,
  manager_user_id uuid,
  primary key (tenant, escalation_level)
);

create table ticket_resources (
  tenant uuid not null,
  assignment_id uuid not null default gen_random_uuid(),
  ticket_id uuid not null,
  assigned_to uuid not null,
  additional_user_id uuid,
  role text,
  primary key (tenant, assignment_id),
  check (assigned_to != additional_user_id)
);

create table sla_audit_log (
  tenant uuid not null,
  log_id uuid not null default gen_random_uuid(),
  ticket_id uuid,
  event_type varchar(50) not null,
  event_data jsonb,
  triggered_by uuid,
  created_at timestamptz not null default now(),
  primary key (tenant, log_id),
  constraint sla_audit_log_ticket_fkey foreign key (tenant, ticket_id) references tickets (tenant, ticket_id)
);
