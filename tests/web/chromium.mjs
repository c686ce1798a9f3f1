// Starts Chromium as all tests use it.
import { chromium } from "playwright-core";

// The last flag of this name counts, so Playwright's own list stands here, too. Behind it are two pages that Chromium
// loads for the address bar of each window, although nobody sees one: they cost as much CPU as most tests.
const WITHOUT = [
  "AvoidUnnecessaryBeforeUnloadCheckSync",
  "DestroyProfileOnBrowserClose",
  "HttpsUpgrades",
  "HttpsFirstBalancedModeAutoEnable",
  "LensOverlay",
  "MediaRouter",
  "PaintHolding",
  "ThirdPartyStoragePartitioning",
  "AvoidCorsURLLoaderRestartOnRedirect",
  "OptimizationHints",
  "NetworkTimeServiceQuerying",
  "AimEnabled",
  "PreconnectToSearch",
  "WebUIOmniboxPopup",
  "WebUIOmniboxAimPopup",
  "WebUIOmniboxFullPopup",
];

export async function launch(executablePath) {
  const args = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"];
  args.push("--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", `--disable-features=${WITHOUT.join(",")}`);
  return await chromium.launch({ executablePath, args });
}
