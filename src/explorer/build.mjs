// Bundles the page's script and style to ../lstm_explorer; with --tests, the tests to build/tests.
import { readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const shared = { absWorkingDir: here, bundle: true, target: "es2022", logLevel: "warning" };

if (process.argv.includes("--tests")) {
  await build({
    ...shared,
    entryPoints: readdirSync(join(here, "tests")).map((name) => `tests/${name}`),
    outdir: "build/tests",
    format: "esm",
    platform: "node",
    outExtension: { ".js": ".mjs" },
  });
} else {
  const page = { ...shared, minify: true, sourcemap: false, legalComments: "none" };
  // "</script>" in a text of the source would end the HTML's script: esbuild escapes it.
  await build({ ...page, entryPoints: ["src/main.ts"], format: "iife", outfile: "../lstm_explorer/page.js" });
  await build({ ...page, entryPoints: ["src/page.css"], outfile: "../lstm_explorer/page.css" });
}
