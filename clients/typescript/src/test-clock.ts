/** The virtual clock of `slad serve --virtual-clock`, for a PSA's own tests. */

import { checkedMessage } from "./checks.js";
import { Connection, type ConnectionOptions } from "./connection.js";
import {
  AdvanceTimeRequest,
  type AdvanceTimeResponse,
  type GetTimeResponse,
  TestClockService,
} from "./stubs/slad/v1/test_clock.js";

/** Moves slad's time. Rejects with Unimplemented when slad goes by real time. */
export class SladTestClock {
  private readonly connection: Connection;

  constructor(options: ConnectionOptions & { timeoutMs?: number } = {}) {
    this.connection = new Connection(options);
    this.timeoutMs = options.timeoutMs ?? 60_000;
  }

  private readonly timeoutMs: number;

  async now(): Promise<Date> {
    const { timeoutMs } = this;
    const reply: GetTimeResponse = await this.connection.unary(TestClockService.getTime, {}, { timeoutMs });
    return reply.now as Date;
  }

  /** Moves time to an instant. All that falls due on the way is committed when it resolves. */
  advanceTo(to: Date): Promise<AdvanceTimeResponse> {
    return this.advance({ to });
  }

  /** Moves time on by so many ms. */
  advanceBy(milliseconds: number): Promise<AdvanceTimeResponse> {
    return this.advance({ by: milliseconds });
  }

  close(): void {
    this.connection.close();
  }

  private async advance(target: { to: Date } | { by: number }): Promise<AdvanceTimeResponse> {
    const request = AdvanceTimeRequest.fromPartial(checkedMessage("AdvanceTimeRequest", target));
    return this.connection.unary(TestClockService.advanceTime, request, { timeoutMs: this.timeoutMs });
  }
}
