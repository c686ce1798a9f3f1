import assert from "node:assert/strict";
import { describe, it } from "node:test";

import type { Token, TokensOptions } from "conexiones";

import { address, bmp, client, photograph } from "../support.js";
import { admin, names, token } from "./support.js";

const DAY_MS = 24 * 3_600_000;

async function listed(options: TokensOptions): Promise<Token[]> {
  const found: Token[] = [];
  for await (const each of admin.tokens(options)) found.push(each);
  return found;
}

/** The status and the body that plain HTTP gives for a URL. */
async function fetched(url: string): Promise<{ status: number; headers: Headers; body: Buffer }> {
  const response = await fetch(url);
  return { status: response.status, headers: response.headers, body: Buffer.from(await response.arrayBuffer()) };
}

describe("tokens", () => {
  it("are made, listed and revoked", async () => {
    const name = names();
    const quota = { storedBytes: 1_000_000, storedImages: 7, openUploads: 2, callsPerSecond: 1.5, bytesPerSecond: 1e6 };
    const { token: made, secret } = await admin.createToken(name, ["write", "read"], { own: true, expiresMs: DAY_MS, quota });
    assert.deepEqual([made.name, made.scopes, made.own, made.owner], [name, ["read", "write"], true, `token:${name}`]);
    assert.deepEqual(made.quota, quota);
    assert.equal(made.expireTime && Math.round((made.expireTime.getTime() - made.createTime.getTime()) / DAY_MS), 1);
    assert.deepEqual([made.revokeTime, made.useTime], [undefined, undefined]);

    const access = await client({ token: secret }).access();
    assert.deepEqual([access?.subject, access?.scopes, access?.own, access?.owner], [`token:${name}`, ["read", "write"], true, `token:${name}`]);
    assert.deepEqual([access?.quota, access?.usage], [quota, { storedBytes: 0, storedImages: 0, openUploads: 0 }]);
    assert.deepEqual(access?.expireTime, made.expireTime);

    const { token: second } = await admin.createToken(name, ["admin"]);
    assert.equal(second.expireTime, undefined);
    assert.deepEqual((await listed({ name })).map(({ id }) => id), [second.id, made.id]);
    assert.ok((await listed({})).length > 2);
    const revoked = await admin.revokeToken(made.id);
    assert.ok(revoked.revokeTime);
    assert.ok((await admin.revokeToken(made.id)).revokeTime);
    assert.deepEqual((await listed({ name })).map(({ id }) => id), [second.id]);
    assert.deepEqual((await listed({ name, ended: true })).map(({ id }) => id), [second.id, made.id]);
    await assert.rejects(admin.revokeToken("none"), { name: "NotFoundError", reason: "TOKEN_NOT_FOUND" });
  });

  it("of options that make no sense are refused, and the error names the field", async () => {
    const { id } = await admin.upload(photograph);
    const wrong: [string, () => Promise<unknown>][] = [
      ["name", () => admin.createToken("two words", ["read"])],
      ["name", () => admin.createToken(7 as never, ["read"])],
      ["scopes", () => admin.createToken("x", [])],
      ["scopes", () => admin.createToken("x", ["root" as never])],
      ["scopes", () => admin.createToken("x", "read" as never)],
      ["expiresMs", () => admin.createToken("x", ["read"], { expiresMs: 0 })],
      ["expiresMs", () => admin.createToken("x", ["read"], { expiresMs: Infinity })],
      ["quota", () => admin.createToken("x", ["read"], { quota: 7 as never })],
      ["quota.storedBytes", () => admin.createToken("x", ["read"], { quota: { storedBytes: -1 } })],
      ["quota.callsPerSecond", () => admin.createToken("x", ["read"], { quota: { callsPerSecond: NaN } })],
      ["ended", () => admin.tokens({ ended: 1 as never }).next()],
      ["id", () => admin.revokeToken(7 as never)],
      ["endLinks", () => admin.rotateLinkKey({ endLinks: "all" as never })],
      ["formats", () => admin.createTicket({ formats: "JPEG" as never })],
      ["formats", () => admin.createTicket({ formats: ["DOC"] })],
      ["maxBytes", () => admin.createTicket({ maxBytes: -1 })],
      ["ttl", () => admin.createTicket({ expiresMs: 2 * DAY_MS })],
      ["ttl", () => admin.imageLink(id, { expiresMs: 8 * DAY_MS })],
      ["base", () => admin.imageLink("x", { base: "images.example" })],
      ["fit", () => admin.imageLink("x", { fit: "wide" as never })],
    ];
    for (const [field, call] of wrong) {
      await assert.rejects(call(), { reason: "INVALID_FIELD", field }, field);
    }
  });
});

describe("a link", () => {
  it("opens the image, or a rendition of it, without a token", async () => {
    const { id } = await admin.upload(photograph);
    const link = await admin.imageLink(id);
    assert.ok(link.startsWith(`http://${address}/images/${id}?`), link);
    assert.ok((await fetched(link)).body.equals(photograph));
    assert.equal((await fetched(link.split("?")[0] ?? "")).status, 401);
    const small = await fetched(await admin.imageLink(id, { width: 64, format: "png", expiresMs: 60_000 }));
    assert.deepEqual([small.status, small.headers.get("content-type")], [200, "image/png"]);
    assert.equal(small.body.readUInt32BE(16), 64);
    const saved = await fetched(await admin.imageLink(id, { download: true, animated: false }));
    assert.match(saved.headers.get("content-disposition") ?? "", /^attachment/);
    await assert.rejects(admin.imageLink("none"), { name: "NotFoundError", reason: "IMAGE_NOT_FOUND" });
  });

  it("begins with what the backend says, or with the address of the server", async () => {
    const { id } = await admin.upload(photograph);
    for (const base of ["https://images.example", "https://images.example/", new URL("https://images.example")]) {
      assert.ok((await admin.imageLink(id, { base })).startsWith(`https://images.example/images/${id}?`));
    }
    assert.ok((await admin.imageLink(id, { base: "http://gate:8080/photos/" })).startsWith("http://gate:8080/photos/images/"));
  });

  it("ends with the token that signed it, and with its key", async () => {
    const { id } = await admin.upload(photograph);
    const { token: made, secret } = await token(["read"]);
    const link = await client({ token: secret }).imageLink(id);
    assert.equal((await fetched(link)).status, 200);
    await admin.revokeToken(made.id);
    assert.equal((await fetched(link)).status, 401);
    const before = await admin.imageLink(id);
    assert.notEqual(await admin.rotateLinkKey(), await admin.rotateLinkKey());
    assert.equal((await fetched(before)).status, 200);
    await admin.rotateLinkKey({ endLinks: true });
    assert.equal((await fetched(before)).status, 401);
    assert.equal((await fetched(await admin.imageLink(id))).status, 200);
  });
});

describe("a quota", () => {
  it("ends an upload at once, with what it allows", async () => {
    const { secret } = await token(["read", "write", "delete"], { quota: { storedImages: 1, storedBytes: 1_000_000 } });
    const full = client({ token: secret });
    const { id } = await full.upload(photograph);
    await assert.rejects(full.upload(bmp(1000)), { reason: "QUOTA_EXCEEDED", facts: { limit: "1", actual: "2", unit: "images" } });
    const access = await full.access();
    assert.equal(access?.usage.storedImages, 1);
    await full.delete(id);
    await assert.rejects(full.upload(bmp(1_000_000)), { reason: "QUOTA_EXCEEDED" });
    assert.ok(await full.upload(bmp(1000)));
  });
});

describe("a ticket", () => {
  it("stores one image, and does nothing else", async () => {
    const backend = client({ token: (await token(["read", "write"])).secret });
    const ticket = await backend.createTicket();
    assert.match(ticket.secret, /^cnt_\w{49}$/);
    const browser = client({ token: ticket.secret });
    const { id } = await browser.upload(photograph);
    assert.equal((await backend.image(id)).id, id);
    for (const call of [() => browser.image(id), () => browser.delete(id), () => browser.createTicket()]) {
      await assert.rejects(call(), { name: "AccessError" });
    }
    await admin.revokeToken(ticket.id);
    await assert.rejects(browser.upload(photograph), { reason: "TOKEN_REVOKED" });
  });

  it("is used up when it has stored what it is for", async () => {
    const backend = client({ token: (await token(["read", "write"])).secret });
    const { secret } = await backend.createTicket({ maxImages: 1, formats: ["BMP"] });
    const browser = client({ token: secret });
    await assert.rejects(browser.upload(photograph), { name: "AccessError", reason: "FORMAT_NOT_GRANTED" });
    await browser.upload(bmp(1000));
    await assert.rejects(browser.upload(bmp(2000)), { reason: "TICKET_USED_UP", facts: { limit: "1", actual: "2", unit: "images" } });
  });

  it("stores for the owner that it names", async () => {
    const name = names();
    const { secret } = await admin.createTicket({ owner: `token:${name}` });
    const { id } = await client({ token: secret }).upload(photograph);
    assert.equal((await admin.image(id)).owner, `token:${name}`);
    const owned: string[] = [];
    for await (const image of admin.images({ owner: `token:${name}` })) owned.push(image.id);
    assert.deepEqual(owned, [id]);
    const other = client({ token: (await token(["read"], { own: true })).secret });
    await assert.rejects(other.image(id), { reason: "IMAGE_NOT_FOUND" });
  });

  it("ends when it says", async () => {
    const { secret, expireTime } = await admin.createTicket({ expiresMs: 1_000, maxBytes: 1e6, maxImages: 2, formats: ["BMP"] });
    const browser = client({ token: secret });
    const until = async (): Promise<unknown> => await browser.upload(bmp(1000)).then(until, (error: unknown) => error);
    const { reason } = (await until()) as { reason: string };
    assert.ok(["TOKEN_EXPIRED", "TICKET_USED_UP"].includes(reason), reason);
    assert.ok(Math.abs(expireTime.getTime() - Date.now()) < DAY_MS);
  });
});
