/** What of AlgaPSA's terms slad cannot take, told once for each policy. */

/** One value that was left out, or read in the only way that makes sense of it. */
export interface SlaWarning {
  ticketId: string;
  /** Empty when the call names none. */
  policyId: string;
  /** The path of the value, as in slad.v1: `notification_thresholds[0]`. */
  field: string;
  /** What is wrong with it, and what was done instead. */
  problem: string;
}

export type OnWarning = (warning: SlaWarning) => void;

/** Tells of one value of the terms at hand. */
export type Warn = (field: string, problem: string) => void;

/** Policies and fields that are remembered for a listener; beyond that they may be told again. */
const REMEMBERED = 10_000;

const told = new WeakMap<OnWarning, Set<string>>();

/** Tells a listener of the terms of a ticket: of each policy and field once, however many tickets have it. */
export function warnerOf(ticketId: string, policyId: string, onWarning: OnWarning = toConsole): Warn {
  return (field, problem) => {
    const before = told.get(onWarning);
    const known = before && before.size < REMEMBERED ? before : new Set<string>();
    const key = JSON.stringify([policyId, field]);
    if (!known.has(key)) {
      told.set(onWarning, known.add(key));
      onWarning({ ticketId, policyId, field, problem });
    }
  };
}

function toConsole({ ticketId, policyId, field, problem }: SlaWarning): void {
  console.warn(`slad: ticket ${ticketId}, policy ${policyId || "unknown"}, ${field}: ${problem}`);
}
