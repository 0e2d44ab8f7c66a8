/** Compiles the tests and runs them with Node's own runner; arguments are names of test files, without `.test.ts`. */

import { execFileSync, spawnSync } from "node:child_process";
import { readdirSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
rmSync(`${root}/dist/test`, { recursive: true, force: true });
execFileSync(process.execPath, [`${root}/node_modules/typescript/bin/tsc`, "-p", "tsconfig.test.json"], {
  cwd: root,
  stdio: "inherit",
});

const wanted = process.argv.slice(2);
const files = readdirSync(`${root}/dist/test/test`)
  .filter((name) => name.endsWith(".test.js"))
  .filter((name) => wanted.length === 0 || wanted.includes(name.replace(".test.js", "")))
  .map((name) => `${root}/dist/test/test/${name}`);
if (files.length === 0) {
  throw new Error(`no tests called ${wanted.join(", ")}`);
}
const { status } = spawnSync(process.execPath, ["--test", "--test-concurrency=2", ...files], {
  cwd: root,
  stdio: "inherit",
});
process.exit(status ?? 1);
