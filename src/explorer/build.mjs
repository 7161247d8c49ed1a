// Bundles the page's script and style to ../lstm_explorer; with --tests, the tests to build/tests.
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const shared = { absWorkingDir: here, bundle: true, target: "es2022", logLevel: "warning" };

/** The libraries' licences ask to go along with every copy: one comment, equal texts once. */
function licences(inputs) {
  const names = new Set(inputs.map((path) => /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1]).filter(Boolean));
  const texts = new Map();
  for (const name of [...names].sort()) {
    const file = join(here, "node_modules", name, "LICENSE");
    if (!existsSync(file)) throw new Error(`${name} has no LICENSE to go along with the page`);
    const text = readFileSync(file, "utf8").trim();
    texts.set(text, [...(texts.get(text) ?? []), name]);
  }
  const parts = [...texts].map(([text, users]) => `${users.join(", ")}:\n\n${text}`);
  return `/*\n${parts.join("\n\n")}\n*/\n`;
}

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
  const script = "../lstm_explorer/page.js";
  const { metafile } = await build({
    ...page, entryPoints: ["src/main.ts"], format: "iife", outfile: script, metafile: true,
  });
  const path = join(here, script);
  writeFileSync(path, licences(Object.keys(metafile.inputs)) + readFileSync(path, "utf8"));
  await build({ ...page, entryPoints: ["src/page.css"], outfile: "../lstm_explorer/page.css" });
}
