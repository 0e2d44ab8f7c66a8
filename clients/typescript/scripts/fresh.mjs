/**
 * Packs the package, installs it into a fresh folder, and uses it there in ESM, CommonJS and TypeScript, against
 * the daemon whose address is the first argument.
 */

import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const address = process.argv[2];
const root = fileURLToPath(new URL("..", import.meta.url));
const own = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const folder = mkdtempSync(join(tmpdir(), "slad-fresh-"));

function run(command, ...args) {
  return execFileSync(command, args, { cwd: folder, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });
}

try {
  execFileSync("npm", ["pack", "--loglevel=error", "--pack-destination", folder], {
    cwd: root,
    stdio: ["ignore", "ignore", "inherit"],
  });
  const tarball = readdirSync(folder).find((name) => name.endsWith(".tgz"));
  writeFileSync(join(folder, "package.json"), JSON.stringify({ private: true, type: "module" }));
  cpSync(join(root, "test/fresh"), folder, { recursive: true });
  const { "@types/node": types, typescript } = own.devDependencies;
  // Most PSAs are compiled by an older one than this package.
  const compilers = [`typescript@${typescript}`, "typescript-5@npm:typescript@5.9.3"];
  run(
    "npm",
    ...["install", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error", "--prefer-offline"],
    ...[`./${tarball}`, `@types/node@${types}`, ...compilers],
  );
  process.stdout.write(run("node", "esm.mjs", address));
  process.stdout.write(run("node", "cjs.cjs", address));
  /** Compiles and runs typed.ts; `type` says which kind of module it is. */
  const typed = (compiler, type, module, resolution) => {
    writeFileSync(join(folder, "package.json"), JSON.stringify({ private: true, type }));
    const options = ["--strict", "--target", "es2022", "--types", "node", "--outDir", "out"];
    options.push("--module", module, "--moduleResolution", resolution);
    run("node", `node_modules/${compiler}/bin/tsc`, ...options, "typed.ts");
    process.stdout.write(`${compiler} ${type} ${run("node", "out/typed.js", address)}`);
  };
  typed("typescript", "module", "nodenext", "nodenext");
  typed("typescript-5", "module", "esnext", "bundler");
  typed("typescript-5", "commonjs", "nodenext", "nodenext");
} finally {
  rmSync(folder, { recursive: true, force: true });
}
