// Lints all JavaScript and TypeScript that is written by hand. Run it from the root of the repository, because ESLint
// only sees files below the folder in which it is started.
import js from "@eslint/js";
import { defineConfig, globalIgnores } from "eslint/config";
import typescript from "typescript-eslint";

// The globals of Node.js and of browsers that are used here.
const shared = ["Buffer", "URL", "console", "fetch", "process", "setTimeout", "clearTimeout"];
const commonjs = ["__dirname", "__filename", "module", "require"];
const page = [
  "ClipboardEvent",
  "DataTransfer",
  "File",
  "MutationObserver",
  "DragEvent",
  "Image",
  "navigator",
  "scrollBy",
  "atob",
  "dispatchEvent",
  "document",
  "getComputedStyle",
  "history",
  "localStorage",
  "sessionStorage",
  "indexedDB",
  "innerHeight",
  "innerWidth",
  "location",
  "performance",
  "requestAnimationFrame",
  "scrollTo",
  "window",
];
const readonly = (names) => Object.fromEntries(names.map((name) => [name, "readonly"]));

export default defineConfig(
  globalIgnores(["**/node_modules/", "**/dist/", "node/src/gen/"]),
  { linterOptions: { reportUnusedDisableDirectives: "error", reportUnusedInlineConfigs: "error" } },
  js.configs.recommended,
  { languageOptions: { globals: readonly(shared) } },
  {
    files: ["client/**/*.js"],
    languageOptions: { sourceType: "commonjs", globals: readonly(commonjs) },
  },
  {
    files: ["tests/web/**/*.mjs"],
    languageOptions: { globals: readonly(page) },
  },
  {
    files: ["node/**/*.ts"],
    extends: [typescript.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      // `() => call.cancel()` is as clear as the same with braces.
      "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true }],
      // An async function turns exceptions into rejections even if it awaits nothing.
      "@typescript-eslint/require-await": "off",
    },
  },
  {
    files: ["node/test/**/*.ts"],
    rules: {
      // Node's test runner awaits the promises of these functions itself.
      "@typescript-eslint/no-floating-promises": [
        "error",
        { allowForKnownSafeCalls: [{ from: "package", package: "node:test", name: ["describe", "it"] }] },
      ],
    },
  },
);
