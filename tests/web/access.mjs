// Scenarios of who may do what: signing in and out, and what the scopes allow.
import { barriers, expect, shot, stored, tiles, upload } from "./steps.mjs";

/** Signs in by the dialog. */
async function signIn(page, token) {
  await page.locator("dialog.ask[open]").waitFor();
  await page.locator("#ask-token").fill(token);
  await page.locator("#ask-token").press("Enter");
  await page.locator("dialog.ask:not([open])").waitFor({ state: "attached" });
}

/** What the browser keeps, in all of its stores that scripts can read. */
async function kept(page) {
  return await page.evaluate(() => JSON.stringify([document.cookie, { ...localStorage }, { ...sessionStorage }, location.href, history.state]));
}

/** Signs in with a token that has blanks around it, after one that is wrong, and out again. */
export async function signing({ given, context, open }) {
  const page = await open();
  await page.locator("dialog.ask[open]").waitFor();
  for (let press = 0; press < 3; press++) await page.keyboard.press("Escape");
  await page.locator("dialog.ask[open]").waitFor();
  await shot(page, given, "ask");
  await page.locator("#ask-token").fill(given.wrong);
  await page.locator("#ask-token").press("Enter");
  const why = page.locator(".ask .why");
  await page.waitForFunction(() => document.querySelector(".ask .why").textContent !== "");
  const said = await why.innerText();
  await signIn(page, `  "${given.token}"\n`);
  await tiles(page, given.count);
  await page.locator(".tile.shown").nth(given.count - 1).waitFor();
  const [cookie] = await context.cookies();
  const session = { name: cookie.name, httpOnly: cookie.httpOnly, sameSite: cookie.sameSite, path: cookie.path };
  const scripts = await kept(page);
  await page.reload();
  await tiles(page, given.count);
  await page.locator(".account").click();
  const account = await page.locator("dialog.who").innerText();
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.locator("dialog.ask[open]").waitFor();
  expect(await page.locator(".tile").count(), 0);
  expect((await context.cookies()).length, 0);
  return { said, session, scripts, account };
}

/** Comes by a link that has a token in its fragment; and then another one, on the same page. */
export async function fragment({ given, context, open }) {
  const requests = [];
  context.on("request", (request) => requests.push(request.url()));
  const page = await open(`#token=${given.token}`);
  await tiles(page, given.count);
  expect(page.url(), `${given.url}/`);
  expect(await page.evaluate(() => history.length), 2); // an empty page is the first
  const bad = await open(`#token=${given.wrong}`);
  await bad.locator("dialog.ask[open]").waitFor();
  expect(bad.url(), `${given.url}/`);
  return { requests, kept: await kept(page), why: await bad.locator(".ask .why").innerText() };
}

/** What a page shows that may only read, and that nothing changes the images there. */
export async function readOnly({ given, open }) {
  const page = await open();
  await signIn(page, given.token);
  await tiles(page, given.count);
  await page.locator(".tile.shown").nth(given.count - 1).waitFor();
  const notice = await page.locator(".notice").innerText();
  await shot(page, given, "read-only");
  const buttons = await page.locator(".bar button:visible").evaluateAll((all) => all.map((one) => one.getAttribute("aria-label") ?? one.innerText));
  await page.evaluate(() => {
    const files = new DataTransfer();
    files.items.add(new File(["x"], "x.png"));
    dispatchEvent(new ClipboardEvent("paste", { clipboardData: files, cancelable: true }));
    const drop = new DragEvent("drop", { bubbles: true, cancelable: true, dataTransfer: files });
    document.body.dispatchEvent(drop);
  });
  await page.locator(".tile").first().focus();
  await page.keyboard.press("Delete");
  await page.locator(".tile").first().click();
  await page.locator("dialog.details[open] .share").waitFor();
  await page.keyboard.press("Delete");
  expect(await page.locator(".upload").count(), 0);
  expect(await page.getByRole("button", { name: "Delete" }).count(), 0);
  await page.locator(".share select").first().selectOption(given.width ?? "0");
  await page.getByLabel("How long the link works").selectOption({ label: "7 days" });
  await page.getByRole("button", { name: "Copy link" }).click();
  await page.locator(".share .link").waitFor();
  await shot(page, given, "link");
  const link = await page.locator(".share .link").inputValue();
  const curl = page.locator('[data-program="curl"]');
  await curl.click();
  const program = await page.locator(".programs pre").innerText();
  return { notice, buttons, link, program, said: await page.locator(".share .hint").innerText() };
}

/** An upload is paused, and another person signs in: only whoever has begun it finds it again. */
export async function twoPeople({ given, open }) {
  const page = await open();
  page.on("dialog", (dialog) => dialog.accept());
  await signIn(page, given.token);
  const paused = page.evaluate(async () => {
    await new Promise((resolve) => {
      new MutationObserver((_, observer) => {
        if ((document.querySelector(".upload progress")?.value ?? 0) < 100) return;
        observer.disconnect();
        [...document.querySelectorAll(".upload button")].find((one) => one.ariaLabel === "Pause").click();
        resolve();
      }).observe(document.body, { subtree: true, childList: true, attributes: true });
    });
  });
  await upload(page, [given.file]);
  await paused;
  const out = async () => {
    await page.locator(".account").click();
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.locator("dialog.ask[open]").waitFor();
  };
  await out();
  await signIn(page, given.other);
  await page.locator(".upload").waitFor({ state: "detached" });
  await upload(page, [given.picture]);
  await stored(page, 1);
  expect(await page.locator(".upload").count(), 1);
  await out();
  await signIn(page, given.token);
  await page.locator('.upload[data-state="interrupted"]').waitFor();
  await page.locator("[data-again]").setInputFiles(given.file);
  await stored(page, 1);
}

/** Uploads on a page that may see nothing. */
export async function writeOnly({ given, open }) {
  const page = await open();
  await signIn(page, given.token);
  await upload(page, given.files);
  await stored(page, given.files.length);
  await shot(page, given, "write-only");
  expect(await page.locator(".search:visible, .live:visible, .grid:visible").count(), 0);
  return await page.locator(".notice").innerText();
}

/** Uploads two files where there is room for one, and says what the page tells of it. */
export async function pastQuota({ given, open }) {
  const page = await open();
  await signIn(page, given.token);
  await upload(page, [given.files[0]]);
  await stored(page, 1);
  await upload(page, [given.files[1]]);
  const refused = page.locator('.upload[data-state="refused"]');
  await refused.waitFor();
  const said = await refused.locator(".state").innerText();
  await page.locator(".account").click();
  // It opens with what was in use when the page was loaded, and asks.
  await page.locator("dialog.who[open]", { hasText: /1\s(of|de)\s1/ }).waitFor();
  await shot(page, given, "quota");
  return { said, account: await page.locator("dialog.who").innerText() };
}

/** The token is revoked while a file is being uploaded. With another token of its name everything goes on. */
export async function revoked({ given, open, ask }) {
  const page = await open();
  await signIn(page, given.token);
  await tiles(page, given.count);
  await page.locator(".tile").first().click();
  await page.locator("dialog.details[open]").waitFor();
  const { hash } = new URL(page.url());
  await upload(page, [given.file]);
  await page.waitForFunction(() => (document.querySelector(".upload progress")?.value ?? 0) >= 100);
  await ask("revoke");
  await page.locator("dialog.ask[open]").waitFor();
  const intro = await page.locator("#ask-intro").innerText();
  await page.locator('.upload[data-state="locked"]').waitFor();
  const state = await page.locator(".upload .state").innerText();
  await shot(page, given, "revoked");
  const { token } = await ask("renew");
  await signIn(page, token);
  expect(new URL(page.url()).hash, hash);
  expect(await page.locator("dialog.details[open]").count(), 1);
  await stored(page, 1);
  await page.locator('.live[data-state="live"]').waitFor({ state: "attached" });
  await tiles(page, given.count + 1);
  return { intro, state };
}

/** Two windows: one signs in and out for both. */
export async function windows({ given, open }) {
  const [first, second] = [await open(), await open()];
  await second.locator("dialog.ask[open]").waitFor();
  await signIn(first, given.token);
  for (const page of [first, second]) {
    await tiles(page, given.count);
    await page.locator("dialog.ask:not([open])").waitFor({ state: "attached" });
  }
  await first.locator(".account").click();
  await first.getByRole("button", { name: "Sign out" }).click();
  for (const page of [first, second]) await page.locator("dialog.ask[open]").waitFor();
}

/** A public gallery: whoever signs in may do more. */
export async function anonymous({ given, open }) {
  const page = await open();
  await tiles(page, given.count);
  const notice = await page.locator(".notice").innerText();
  expect(await page.locator("dialog.ask[open]").count(), 0);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.locator("dialog.ask[open]").waitFor();
  await page.keyboard.press("Escape");
  await page.locator("dialog.ask:not([open])").waitFor({ state: "attached" });
  await page.locator(".tile").first().click();
  await page.getByRole("button", { name: "Copy link" }).click();
  await page.locator(".share .link").waitFor();
  const link = await page.locator(".share .link").inputValue();
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: "Sign in" }).click();
  await signIn(page, given.token);
  await page.locator(".bar .primary").waitFor();
  await page.setViewportSize({ width: 360, height: 740 });
  expect(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true);
  return { notice, link, hidden: await page.locator(".notice").isHidden() };
}

/** Signs in over TLS, uploads an image and looks at it. Gives the cookie. */
export async function overTls({ given, context }) {
  const own = await context.browser().newContext({ ignoreHTTPSErrors: true });
  try {
    const page = await own.newPage();
    await page.goto(given.secure);
    await signIn(page, given.token);
    await upload(page, [given.picture]);
    await stored(page, 1);
    await tiles(page, 1);
    await page.locator(".tile.shown").waitFor();
    const [{ name, secure, httpOnly, sameSite }] = await own.cookies();
    return { name, secure, httpOnly, sameSite };
  } finally {
    await own.close();
  }
}

/** A page of another origin on the same host, which may call with a token, tries to use the session of the browser. */
export async function otherOrigin({ given, context }) {
  const own = await context.browser().newContext();
  try {
    const page = await own.newPage();
    await page.goto(given.url);
    await signIn(page, given.token);
    await tiles(page, given.count);
    const other = await own.newPage();
    await other.goto(given.other);
    return await other.evaluate(
      async ({ url, token, image }) => {
        const call = async (more) => {
          const request = { method: "POST", body: JSON.stringify({ name: "Eve", pow: 2 }), ...more };
          const reply = await fetch(`${url}/user.UsuarioServicio/GetUser`, request).catch(() => undefined);
          return reply && (reply.type === "opaque" ? "opaque" : reply.status);
        };
        const json = { "content-type": "application/json" };
        const shown = await new Promise((resolve) => {
          const picture = Object.assign(new Image(), { onload: () => resolve(true), onerror: () => resolve(false) });
          picture.src = `${url}/images/${image}`;
        });
        return {
          session: await call({ headers: json, credentials: "include" }),
          form: await call({ mode: "no-cors", credentials: "include", headers: { "content-type": "text/plain" } }),
          shown,
          signOut: (await fetch(`${url}/session`, { method: "DELETE", credentials: "include" }).catch(() => undefined))?.status,
          token: await call({ headers: { ...json, authorization: `Bearer ${token}` }, body: JSON.stringify({ name: "Ana" }) }),
        };
      },
      { url: given.url, token: given.token, image: given.image },
    );
  } finally {
    await own.close();
  }
}

/** Looks for what stands in the way of a screen reader, and for what is wider than the window. */
export async function accessibleAccess({ given, open }) {
  const page = await open();
  const found = [];
  const look = async (where) => {
    found.push(...(await barriers(page, given, where)));
    if (await page.evaluate(() => document.documentElement.scrollWidth > innerWidth)) found.push(`${where}: wider than the window`);
  };
  await page.locator("dialog.ask[open]").waitFor();
  await page.locator("#ask-token").fill("cnx_");
  await page.locator("#ask-token").press("Enter");
  await page.waitForFunction(() => document.querySelector(".ask .why").textContent !== "");
  await look("ask");
  await shot(page, given, "ask");
  await signIn(page, given.token);
  await tiles(page, given.count);
  await page.locator(".notice").waitFor();
  await look("read only");
  await shot(page, given, "read-only");
  await page.locator(".account").click();
  await page.locator("dialog.who[open]").waitFor();
  await look("account");
  await shot(page, given, "account");
  await page.keyboard.press("Escape");
  await page.locator(".tile").first().click();
  await page.locator(".share button").click();
  await page.locator(".share .link").waitFor();
  await look("link");
  await shot(page, given, "link");
  return found;
}
