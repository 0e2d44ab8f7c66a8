/** Builds dist/esm and dist/cjs: the same sources, each with its own declarations. */

import { execFileSync } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = new URL("..", import.meta.url);
const tsc = fileURLToPath(new URL("node_modules/typescript/bin/tsc", root));

for (const [kind, type] of [
  ["esm", "module"],
  ["cjs", "commonjs"],
]) {
  const out = new URL(`dist/${kind}/`, root);
  rmSync(out, { recursive: true, force: true });
  execFileSync(process.execPath, [tsc, "-p", `tsconfig.${kind}.json`], {
    cwd: fileURLToPath(root),
    stdio: "inherit",
  });
  writeFileSync(new URL("package.json", out), `${JSON.stringify({ type })}\n`);
}
