// Builds the page into src/conexiones/page, which the Python package carries.
//
//     node build.js           writes the files
//     node build.js --check   prints which files are out of date, and exits with status 1 if any is
//
// The build is the same on every machine: esbuild is pinned, and the names contain hashes of the content. Only the
// output of brotli and gzip may change with the version of Node.js, so the check compares what it decompresses to.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createHash } from "node:crypto";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, brotliDecompressSync, constants, gunzipSync, gzipSync } from "node:zlib";
import { build } from "esbuild";

const here = fileURLToPath(new URL(".", import.meta.url));
const target = join(here, "..", "src", "conexiones", "page");
/** The largest size of all files together, compressed. */
const LIMIT_BYTES = 120_000;

/** Resolves the generated messages to those of the Node SDK, and their libraries to those of this bundle. */
function messages({ onResolve, resolve }) {
  onResolve({ filter: /^#gen\// }, ({ path }) => ({ path: join(here, "..", "node", "src", "gen", `${path.slice(5)}.ts`) }));
  onResolve({ filter: /^@bufbuild\/protobuf/ }, async ({ path, kind, pluginData }) => {
    if (pluginData === messages) return undefined; // resolve() below asks again
    return await resolve(path, { kind, resolveDir: here, pluginData: messages });
  });
}

const options = {
  absWorkingDir: here,
  bundle: true,
  preserveSymlinks: true,
  minify: true,
  write: false,
  format: "esm",
  target: ["chrome110", "firefox115", "safari16.4"],
  charset: "utf8",
  legalComments: "none",
  logLevel: "warning",
  entryNames: "[name]-[hash]",
  outdir: "out",
  plugins: [{ name: "messages", setup: messages }],
};

async function files() {
  const found = new Map();
  const add = async (entryPoints, extra = {}) => {
    const { outputFiles } = await build({ ...options, entryPoints, ...extra });
    return outputFiles.map((file) => {
      const name = basename(file.path);
      found.set(name, Buffer.from(file.contents));
      return name;
    });
  };
  const [worker] = await add(["src/uploads/upload.worker.ts"]);
  const built = await add(["src/main.ts"], { define: { UPLOAD_WORKER: JSON.stringify(`/page/${worker}`) } });
  const icon = readFileSync(join(here, "icon.svg"));
  const iconName = `icon-${createHash("sha256").update(icon).digest("hex").slice(0, 8).toUpperCase()}.svg`;
  found.set(iconName, icon);
  const named = (suffix) => built.find((name) => name.endsWith(suffix));
  const html = readFileSync(join(here, "index.html"), "utf8")
    .replace("%SCRIPT%", `/page/${named(".js")}`)
    .replace("%STYLE%", `/page/${named(".css")}`)
    .replace("%ICON%", `/page/${iconName}`);
  found.set("index.html", Buffer.from(html));
  return found;
}

const CODINGS = {
  ".br": [(data) => brotliCompressSync(data, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }), brotliDecompressSync],
  ".gz": [(data) => gzipSync(data, { level: 9 }), gunzipSync],
};

function stale(fresh) {
  const wanted = new Set([...fresh.keys()].flatMap((name) => [name, ...Object.keys(CODINGS).map((suffix) => name + suffix)]));
  const there = existsSync(target) ? readdirSync(target) : [];
  const wrong = there.filter((name) => !wanted.has(name));
  for (const [name, content] of fresh) {
    const path = join(target, name);
    const same = (file, decode) => existsSync(file) && decode(readFileSync(file)).equals(content);
    if (!same(path, (data) => data)) wrong.push(name);
    for (const [suffix, [, decode]] of Object.entries(CODINGS)) if (!same(path + suffix, decode)) wrong.push(name + suffix);
  }
  return wrong;
}

const fresh = await files();
const bytes = [...fresh.values()].reduce((sum, content) => sum + CODINGS[".br"][0](content).length, 0);
if (bytes > LIMIT_BYTES) {
  console.error(`The page is ${bytes} bytes compressed; it may be ${LIMIT_BYTES}.`);
  process.exit(1);
}
const wrong = stale(fresh);
if (process.argv.includes("--check")) {
  if (wrong.length > 0) {
    console.error(["The page is out of date; run `make generate`:", ...wrong].join("\n  "));
    process.exitCode = 1;
  }
} else if (wrong.length > 0) {
  rmSync(target, { recursive: true, force: true });
  mkdirSync(target, { recursive: true });
  for (const [name, content] of fresh) {
    writeFileSync(join(target, name), content);
    for (const [suffix, [encode]] of Object.entries(CODINGS)) writeFileSync(join(target, name + suffix), encode(content));
  }
  console.log(`The page: ${bytes} bytes compressed.`);
}
