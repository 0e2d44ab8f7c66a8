/** The installed daemon, as a process of its own under the virtual clock. */

import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { SladClient, type SladClientOptions, SladTestClock } from "../src/index.js";

/** A Monday, 09:00 UTC. */
export const MONDAY_9 = new Date("2026-03-02T09:00:00Z");
export const MINUTE = 60_000;
export const HOUR = 60 * MINUTE;

/** Generous: for what is sure to come, on a machine that may be slow. */
export const PATIENCE_MS = 30_000;

export const COMMAND =
  process.env.SLAD_COMMAND ?? fileURLToPath(new URL("../../../../../.venv/bin/slad", import.meta.url));

/** A daemon; it keeps its data and its address over `stop` and `start`. */
export class Daemon {
  readonly folder = mkdtempSync(join(tmpdir(), "slad-client-"));
  readonly address = `unix:${this.folder}/slad.sock`;
  readonly data = join(this.folder, "data");
  readonly tcp: string[] = [];
  readonly client: SladClient;
  readonly clock: SladTestClock;
  private process: ChildProcess | undefined;
  private readonly log: string[] = [];

  constructor(
    private readonly arguments_: readonly string[] = [],
    options: SladClientOptions = {},
  ) {
    this.client = new SladClient({
      address: this.address,
      timeoutMs: PATIENCE_MS,
      retry: { attempts: 1_000 },
      ...options,
    });
    this.clock = new SladTestClock({ address: this.address });
  }

  /** Resolves when it is ready; `at` is where its time begins. */
  async start(at: Date = MONDAY_9): Promise<void> {
    const process_ = spawn(
      COMMAND,
      [
        ...["serve", "--listen", this.address, "--data", this.data],
        ...["--virtual-clock", at.toISOString(), ...this.arguments_],
      ],
      { env: { ...process.env, SLAD_LOG_FORMAT: "json" }, stdio: ["ignore", "inherit", "pipe"] },
    );
    this.process = process_;
    await new Promise<void>((resolve, reject) => {
      process_.once("error", reject);
      process_.once("exit", (code) => reject(new Error(`slad ended with ${code}:\n${this.log.join("\n")}`)));
      createInterface({ input: process_.stderr as NodeJS.ReadableStream }).on("line", (line) => {
        this.log.push(line);
        const listening = /listening on (127\.0\.0\.1:\d+)/.exec(line);
        if (listening?.[1]) {
          this.tcp.push(listening[1]);
        }
        if (line.includes(" is ready")) {
          resolve();
        }
      });
    });
  }

  /** Ends it; with SIGKILL, without a word. */
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    const { process: running } = this;
    if (running && running.exitCode === null && running.signalCode === null) {
      const ended = new Promise((resolve) => running.once("exit", resolve));
      running.kill(signal);
      await ended;
    }
  }

  /** Lets it stand still, or go on: it holds its connections and does not answer. */
  signal(signal: "SIGSTOP" | "SIGCONT"): void {
    this.process?.kill(signal);
  }

  async remove(): Promise<void> {
    this.client.close();
    this.clock.close();
    await this.stop("SIGKILL");
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** A running daemon for one test. */
export async function daemon(
  test: TestContext,
  options: { arguments?: readonly string[]; client?: SladClientOptions } = {},
): Promise<Daemon> {
  const slad = new Daemon(options.arguments, options.client);
  test.after(() => slad.remove());
  await slad.start();
  return slad;
}

/** Waits for what is sure to come. */
export async function until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  for (const deadline = Date.now() + PATIENCE_MS; !(await condition()); ) {
    if (Date.now() > deadline) {
      throw new Error(`it did not come about that ${what}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
