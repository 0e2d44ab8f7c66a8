/**
 * What happens at the desk from Thursday, 26 March to Wednesday, 8 April 2026: over a weekend in which the clocks
 * go forward (29 March, 02:00) and over Easter (3 and 6 April are holidays). Times are those of Berlin.
 */

import { TECHNICIANS } from "./desk.mjs";

/** An instant of Berlin: UTC+1 until the clocks go forward, UTC+2 from then on. */
function at(date, time) {
  const summer = date >= "03-29";
  return new Date(`2026-${date}T${time}:00${summer ? "+02:00" : "+01:00"}`);
}

/** The tickets with a story of their own. */
const TOLD = [
  // Asked late on Friday; the client answers on Monday. The pause costs nothing but the open time in it.
  [
    "gold-1",
    "gold",
    "high",
    "03-27",
    "15:00",
    [
      ["03-27", "15:20", "respond"],
      ["03-27", "16:30", "askClient"],
      ["03-30", "10:00", "goOn"],
      ["03-30", "15:00", "close"],
    ],
  ],
  // Opened on Friday afternoon, resolved after the weekend in time: eight hours of two days.
  [
    "gold-2",
    "gold",
    "high",
    "03-27",
    "14:00",
    [
      ["03-27", "14:30", "respond"],
      ["03-30", "12:59", "close"],
    ],
  ],
  // The same, and a minute late.
  [
    "gold-3",
    "gold",
    "high",
    "03-27",
    "14:00",
    [
      ["03-27", "14:30", "respond"],
      ["03-30", "13:01", "close"],
    ],
  ],
  // Round the clock, over the hour that the change of clocks skips: four hours are four hours.
  [
    "crit-1",
    "gold",
    "critical",
    "03-28",
    "23:30",
    [
      ["03-28", "23:50", "respond"],
      ["03-29", "04:31", "close"],
    ],
  ],
  // Nobody looks at it.
  ["crit-2", "gold", "critical", "04-04", "12:00", [["04-04", "19:00", "close"]]],
  // Raised from normal to critical: 3 h of its 4 h are used, and 30 minutes are all that the new terms give.
  [
    "up-1",
    "gold",
    "normal",
    "03-31",
    "08:00",
    [
      ["03-31", "11:00", "changePriority", "critical"],
      ["03-31", "11:05", "respond"],
      ["03-31", "13:00", "close"],
    ],
  ],
  // Lowered: what was reached under the old terms is taken back, and comes again in its time.
  [
    "down-1",
    "silver",
    "critical",
    "03-31",
    "09:00",
    [
      ["03-31", "09:40", "changePriority", "high"],
      ["03-31", "10:30", "respond"],
      ["04-01", "09:00", "close"],
    ],
  ],
  // Parts are ordered before Easter, and come after it.
  [
    "parts-1",
    "silver",
    "normal",
    "04-01",
    "08:00",
    [
      ["04-01", "16:00", "putOnHold"],
      ["04-07", "09:00", "goOn"],
      ["04-08", "10:00", "close"],
    ],
  ],
  // Good Friday and Easter Monday do not count: from Thursday 16:00 on there is one hour, then Tuesday.
  [
    "easter-1",
    "gold",
    "normal",
    "04-02",
    "16:00",
    [
      ["04-07", "10:30", "respond"],
      ["04-08", "12:00", "close"],
    ],
  ],
  // Opened by mistake, and deleted before anything is due.
  ["oops-1", "gold", "high", "03-30", "09:00", [["03-30", "09:10", "delete"]]],
  // Deleted while the notifier is away: of its 50 and 75 % nobody is to hear.
  ["oops-2", "gold", "high", "03-31", "09:00", [["03-31", "09:48", "delete"]]],
  // Closed, and given another policy the day after: AlgaPSA cancels and starts its clock. It stays closed.
  [
    "closed-1",
    "gold",
    "high",
    "03-31",
    "13:00",
    [
      ["03-31", "13:20", "respond"],
      ["03-31", "15:00", "close"],
      ["04-01", "09:00", "changePolicy", "silver"],
    ],
  ],
  // The policy has a threshold of 0 %, which slad does not have: the ticket has an SLA all the same.
  [
    "zero-1",
    "bronze",
    "high",
    "03-30",
    "10:00",
    [
      ["03-30", "11:30", "respond"],
      ["03-31", "11:00", "close"],
    ],
  ],
  // Its priority is raised: 60 % was told, and stays told; the clock knows 60 and 100 %, as before.
  [
    "zero-2",
    "bronze",
    "high",
    "04-01",
    "08:00",
    [
      ["04-01", "09:30", "changePriority", "critical"],
      ["04-01", "09:40", "respond"],
      ["04-01", "14:00", "close"],
    ],
  ],
  // A target without minutes: there is nothing to track, whatever happens to the ticket.
  [
    "none-1",
    "bronze",
    "normal",
    "04-01",
    "09:00",
    [
      ["04-01", "09:30", "askClient"],
      ["04-01", "10:30", "goOn"],
      ["04-02", "10:00", "close"],
    ],
  ],
  // The policy is taken away for an hour and a half. The row goes on from its start, and so does slad.
  [
    "back-1",
    "gold",
    "normal",
    "04-01",
    "09:00",
    [
      ["04-01", "09:30", "changePolicy", null],
      ["04-01", "11:00", "changePolicy", "gold"],
      ["04-01", "11:30", "respond"],
      ["04-02", "11:00", "close"],
    ],
  ],
  // Handed over when half of the time is gone: later news are for the new assignee.
  [
    "hand-1",
    "silver",
    "high",
    "03-26",
    "09:00",
    [
      ["03-26", "10:15", "assign", "Cleo"],
      ["03-26", "10:50", "respond"],
      ["03-30", "08:50", "close"],
    ],
  ],
];

/** Every day's work: three tickets on each of eight days, answered and closed sooner or later. */
function everyday() {
  const days = ["03-26", "03-27", "03-30", "03-31", "04-01", "04-02", "04-07", "04-08"];
  const policies = ["gold", "silver"];
  const priorities = ["high", "normal", "critical"];
  const tickets = [];
  for (const [day, date] of days.entries()) {
    for (let nth = 0; nth < 3; nth += 1) {
      const number = day * 3 + nth;
      const open = 8 + nth * 2;
      const story = [[date, clock(open, 10 + ((number * 17) % 80)), "respond"]];
      if (number % 5 === 0) {
        story.push([date, clock(open, 95), "askClient"], [date, clock(open, 155), "goOn"]);
      }
      story.push([date, clock(open, 160 + ((number * 41) % 110)), "close"]);
      tickets.push([
        `t-${100 + number}`,
        policies[number % 2],
        priorities[number % 3],
        date,
        clock(open, 0),
        story,
      ]);
    }
  }
  return tickets;
}

function clock(hour, minutes) {
  const two = (number) => String(number).padStart(2, "0");
  return `${two(hour + Math.floor(minutes / 60))}:${two(minutes % 60)}`;
}

/** While the notifier is away, events wait. */
const AWAY = [at("03-31", "09:20"), at("03-31", "09:50")];

/** The nights between: AlgaPSA's list is compared with slad's. */
function nights() {
  const days = [
    "03-27",
    "03-28",
    "03-29",
    "03-30",
    "03-31",
    "04-01",
    "04-02",
    "04-03",
    "04-04",
    "04-05",
    "04-06",
    "04-07",
  ];
  return [...days, "04-08"].map((date) => at(date, "03:30"));
}

/** All that happens, in order: instant, method, its arguments. `by` says whose method it is. */
export function story() {
  const steps = [
    { at: AWAY[0], by: "desk", method: "stopNotifier", args: [] },
    { at: AWAY[1], by: "desk", method: "startNotifier", args: [] },
    ...nights().map((night) => ({ at: night, by: "desk", method: "reconcile", args: [] })),
  ];
  for (const [number, [id, policy, priority, date, time, changes]] of [...TOLD, ...everyday()].entries()) {
    const assignee = TECHNICIANS[number % TECHNICIANS.length];
    steps.push({ at: at(date, time), by: "psa", method: "open", args: [id, { policy, priority, assignee }] });
    for (const [day, hour, method, ...args] of changes) {
      steps.push({ at: at(day, hour), by: "psa", method, args: [id, ...args] });
    }
  }
  return steps.sort((a, b) => a.at - b.at);
}

export const BEGIN = at("03-26", "07:00");
export const END = at("04-08", "18:00");
