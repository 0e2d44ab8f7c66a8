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

/** Policies and fields that are remembered; beyond that they may be told again. */
const REMEMBERED = 10_000;

/** Passes on the first warning for each policy and field. */
export class Warnings {
  private readonly told = new Set<string>();

  constructor(private readonly onWarning: OnWarning = toConsole) {}

  /** For the terms of one ticket. */
  of(ticketId: string, policyId: string): Warn {
    return (field, problem) => {
      const key = `${policyId} ${field}`;
      if (this.told.has(key)) {
        return;
      }
      if (this.told.size >= REMEMBERED) {
        this.told.clear();
      }
      this.told.add(key);
      this.onWarning({ ticketId, policyId, field, problem });
    };
  }
}

function toConsole({ ticketId, policyId, field, problem }: SlaWarning): void {
  console.warn(`slad: ticket ${ticketId}, policy ${policyId || "unknown"}, ${field}: ${problem}`);
}
