/** Up to where everything has been dealt with, while events are dealt with in any order. */

export class Progress {
  private readonly open: { sequence: number; done: boolean }[] = [];
  private head = 0;
  /** How many events are not dealt with yet. */
  pending = 0;
  private wakers: (() => void)[] = [];

  /** An event has arrived; they do in order. Calling what it returns says that it has been dealt with. */
  begin(sequence: number): () => void {
    const entry = { sequence, done: false };
    this.open.push(entry);
    this.pending += 1;
    return () => {
      if (!entry.done) {
        entry.done = true;
        this.pending -= 1;
        for (const wake of this.wakers.splice(0)) {
          wake();
        }
      }
    };
  }

  /** Up to which sequence an acknowledgement may go; 0: none. */
  upTo(): number {
    let passed = 0;
    while (this.open[passed]?.done) {
      this.head = (this.open[passed] as { sequence: number }).sequence;
      passed += 1;
    }
    this.open.splice(0, passed);
    return this.head;
  }

  /** Resolves when an event has been dealt with. */
  change(): Promise<void> {
    return new Promise((resolve) => this.wakers.push(resolve));
  }
}

/** At most so many at a time. */
export class Slots {
  private readonly waiting: (() => void)[] = [];

  constructor(private free: number) {}

  /** Does `work` when there is room. */
  async use<Result>(work: () => Promise<Result>): Promise<Result> {
    await this.take();
    try {
      return await work();
    } finally {
      this.give();
    }
  }

  private async take(): Promise<void> {
    if (this.free > 0) {
      this.free -= 1;
      return;
    }
    await new Promise<void>((resolve) => this.waiting.push(resolve));
  }

  private give(): void {
    const next = this.waiting.shift();
    if (next) {
      next();
    } else {
      this.free += 1;
    }
  }
}
