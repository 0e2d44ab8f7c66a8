/** Work in lanes: one thing after the other in each, any number of lanes side by side. */

export class Lanes {
  private readonly tails = new Map<string, Promise<unknown>>();

  /** Does `work` when all earlier work of its lane has ended, well or not. */
  run<Result>(lane: string, work: () => Promise<Result>): Promise<Result> {
    const done = (this.tails.get(lane) ?? Promise.resolve()).then(work);
    const tail = done
      .catch(() => undefined)
      .then(() => {
        if (this.tails.get(lane) === tail) {
          this.tails.delete(lane);
        }
      });
    this.tails.set(lane, tail);
    return done;
  }

  /** Resolves when nothing is being done, or after so many ms. */
  async idle(timeoutMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const limit = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, timeoutMs);
    });
    await Promise.race([Promise.all(this.tails.values()), limit]);
    clearTimeout(timer);
  }
}
