/** The service desk: its people, policies and business hours, in the form of AlgaPSA's rows. */

export const TENANT = "msp-1";
export const ZONE = "Europe/Berlin";

/** Who works on tickets, who manages the board, who is told when it gets serious. */
export const TECHNICIANS = ["Ada", "Ben", "Cleo"];
export const BOARD_MANAGER = "Dora";
export const ESCALATION_MANAGERS = { 1: "Dora", 2: "Emil", 3: "Emil" };

/** Monday to Friday 08:00 to 17:00; the weekend is in the table, too, and disabled. */
export const OFFICE_HOURS = {
  tenant: TENANT,
  schedule_id: "office",
  schedule_name: "Office hours",
  timezone: ZONE,
  is_default: true,
  is_24x7: false,
  entries: [0, 1, 2, 3, 4, 5, 6].map((day) => ({
    entry_id: `office-${day}`,
    schedule_id: "office",
    day_of_week: day,
    start_time: day % 6 === 0 ? "00:00" : "08:00:00",
    end_time: day % 6 === 0 ? "00:00" : "17:00:00",
    is_enabled: day % 6 !== 0,
  })),
  holidays: [
    { holiday_id: "gf", holiday_name: "Good Friday", holiday_date: "2026-04-03", is_recurring: false },
    { holiday_id: "em", holiday_name: "Easter Monday", holiday_date: "2026-04-06", is_recurring: false },
    { holiday_id: "xm", holiday_name: "Christmas Day", holiday_date: "2025-12-25", is_recurring: true },
  ],
};

/** What AlgaPSA uses when a target is 24x7. */
const ALWAYS = {
  tenant: TENANT,
  schedule_id: "24x7",
  schedule_name: "24x7",
  timezone: "UTC",
  is_default: false,
  is_24x7: true,
  entries: [],
};

/** Minutes until response and resolution, by policy and priority; null is no target. */
const TARGETS = {
  gold: { critical: [30, 240], high: [60, 480], normal: [240, 1080] },
  silver: { critical: [60, 480], high: [120, 1080], normal: [null, 1620] },
  bronze: { critical: [60, 480], high: [120, 540], normal: [null, null] },
};

const USUAL = [
  { percent: 50, notify: ["assigned_to"] },
  { percent: 75, notify: ["assigned_to"] },
  { percent: 90, notify: ["assigned_to", "board_manager"] },
  { percent: 100, notify: ["assigned_to", "board_manager"], breach: true },
];

/** Who is told at which percent, by policy. AlgaPSA's form takes 0 to 200. */
export const THRESHOLDS = {
  gold: USUAL,
  silver: USUAL,
  bronze: [
    { percent: 0, notify: ["assigned_to"] },
    { percent: 60, notify: ["assigned_to"] },
    { percent: 100, notify: ["assigned_to", "board_manager"], breach: true },
  ],
};

/** The target of one priority of a policy. */
export function targetOf(policy, priority) {
  const [response, resolution] = TARGETS[policy][priority];
  return {
    tenant: TENANT,
    target_id: `${policy}-${priority}`,
    sla_policy_id: policy,
    priority_id: priority,
    response_time_minutes: response,
    resolution_time_minutes: resolution,
    escalation_1_percent: 80,
    escalation_2_percent: 100,
    escalation_3_percent: 150,
    is_24x7: policy === "gold" && priority === "critical",
  };
}

/** The schedule by which a target counts. */
export function scheduleOf(target) {
  return target.is_24x7 ? ALWAYS : OFFICE_HOURS;
}
