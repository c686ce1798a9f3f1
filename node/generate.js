// Generates src/gen from ../proto and the google.rpc protos of the Python environment, with protoc-gen-es.
//
//     node generate.js           writes the code
//     node generate.js --check   prints which files are out of date, and exits with status 1 if any is
//
// PYTHON names the interpreter that has grpcio-tools and googleapis-common-protos; the default is ../.venv's.
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL(".", import.meta.url));
const proto = join(here, "..", "proto");
const gen = join(here, "src", "gen");
const venv = join(here, "..", ".venv", "bin", "python");
const python = process.env.PYTHON ?? (existsSync(venv) ? venv : "python3");

function generate(out) {
  const packages = execFileSync(python, ["-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]);
  const site = packages.toString().trim();
  const ours = filesOf(proto).filter((name) => name.endsWith(".proto"));
  execFileSync(
    python,
    [
      ...["-m", "grpc_tools.protoc", `-I${proto}`, `-I${site}`, `-I${join(site, "grpc_tools", "_proto")}`],
      `--plugin=protoc-gen-es=${join(here, "node_modules", ".bin", "protoc-gen-es")}`,
      `--es_out=${out}`,
      "--es_opt=target=ts,import_extension=js",
      ...[...ours, "google/rpc/status.proto", "google/rpc/error_details.proto"],
    ],
    { stdio: "inherit" },
  );
}

function filesOf(folder) {
  if (!existsSync(folder)) return [];
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name).slice(folder.length + 1))
    .sort();
}

const fresh = mkdtempSync(join(tmpdir(), "conexiones-gen-"));
try {
  generate(fresh);
  if (process.argv.includes("--check")) {
    const names = new Set([...filesOf(fresh), ...filesOf(gen)]);
    const same = (name) =>
      [fresh, gen].every((tree) => existsSync(join(tree, name))) &&
      readFileSync(join(fresh, name)).equals(readFileSync(join(gen, name)));
    const stale = [...names].filter((name) => !same(name));
    if (stale.length > 0) {
      console.error(["Generated code is out of date; run `npm run generate`:", ...stale].join("\n  "));
      process.exitCode = 1;
    }
  } else {
    rmSync(gen, { recursive: true, force: true });
    cpSync(fresh, gen, { recursive: true });
  }
} finally {
  rmSync(fresh, { recursive: true, force: true });
}
