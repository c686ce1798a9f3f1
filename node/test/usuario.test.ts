import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { Client, Code, ImageError, UnavailableError } from "conexiones";

import { address, bmp, client, elephant, hex, MiB, photograph, pieces, sha256 } from "./support.js";

const conexiones = client();

describe("the tutorial's calls", () => {
  it("getUser", async () => {
    const { message, user, image } = await conexiones.getUser({ name: "Inés", pow: -7, image: photograph });
    assert.match(message, /Inés/);
    assert.deepEqual([user?.name, user?.pow, user?.powSquared, user?.imageId], ["Inés", -7, 49n, image?.id]);
    assert.deepEqual([image?.format, image?.sizeBytes], ["JPEG", photograph.length]);
    const again = await conexiones.getUser({ name: "Inés" });
    assert.deepEqual([again.user?.pow, again.image?.id], [-7, image?.id]);
  });

  it("an image that is given is not empty", async () => {
    const fault = { name: "ImageError", reason: "EMPTY_IMAGE", mensaje: "La imagen está vacía." };
    await assert.rejects(conexiones.getUser({ name: "Ada", image: new Uint8Array() }), fault);
    const users = conexiones.userStream([{ name: "Ada", image: new Uint8Array() }]);
    await assert.rejects(users.next(), fault);
  });

  it("getUser, refused: code, reason, field, facts, sentences", async () => {
    const fault = { name: "ConexionesError", code: Code.INVALID_ARGUMENT, reason: "EMPTY_NAME", field: "name" };
    await assert.rejects(conexiones.getUser({ name: "" }), { ...fault, facts: { limit: "256" } });
    const mensaje = "El nombre está vacío: envía de 1 a 256 caracteres.";
    await assert.rejects(conexiones.getUser({ name: "" }), { mensaje });
  });

  it("processImage", async () => {
    const { image } = await conexiones.processImage(photograph, { user: "Inés" });
    assert.equal(hex(image?.sha256 as Uint8Array), sha256(photograph));
    // ProcessImage waits until the image is decoded.
    assert.deepEqual([image?.facts?.colorSpace, image?.facts?.hasAlpha], ["RGB", undefined]);
    await assert.rejects(conexiones.processImage(Buffer.from("text")), ImageError);
  });

  it("streamImage", async () => {
    const { image } = await conexiones.streamImage(elephant, { chunkSize: 4096 });
    assert.equal(hex(image?.sha256 as Uint8Array), sha256(photograph));
    const large = bmp(8 * MiB);
    assert.equal((await conexiones.streamImage(pieces(large))).image?.sizeBytes, large.length);
    await assert.rejects(conexiones.streamImage(Buffer.alloc(8 * MiB)), { reason: "NOT_AN_IMAGE" });
    const failure = new Error("the source");
    async function* failing() {
      yield photograph.subarray(0, 1000);
      throw failure;
    }
    await assert.rejects(conexiones.streamImage(failing()), (error) => error === failure);
    const signal = AbortSignal.abort();
    await assert.rejects(conexiones.streamImage(elephant, { signal }), { name: "AbortError" });
  });

  it("imageStream: a bad one is told, and the stream goes on", async () => {
    const seen: string[] = [];
    for await (const { image, error } of conexiones.imageStream([photograph, Buffer.from("text"), photograph])) {
      seen.push(image?.format ?? error?.reason ?? "");
      assert.equal(error instanceof ImageError, !image);
    }
    assert.deepEqual(seen, ["JPEG", "NOT_AN_IMAGE", "JPEG"]);
  });

  it("userStream", async () => {
    async function* users() {
      yield { name: "Ada", pow: 12, image: photograph };
      yield { name: "Eva", pow: 50_000 };
    }
    const replies = [];
    for await (const reply of conexiones.userStream(users())) replies.push(reply);
    assert.deepEqual(replies.map(({ name, pow }) => [name, pow]), [["Ada", 144], ["Eva", 0]]);
    assert.equal(hex((replies[0]?.preview ?? new Uint8Array()).subarray(0, 3)), "ffd8ff");
    assert.deepEqual(replies[1]?.errors.map(({ code, reason }) => [code, reason]), [[Code.OUT_OF_RANGE, "POW_OVERFLOW"]]);
  });
});

describe("a client", () => {
  it("takes its settings from the environment", async () => {
    const made = Client.fromEnviron({}, { CONEXIONES_ADDRESS: address, CONEXIONES_TIMEOUT: "5" });
    assert.match((await made.getUser({ name: "Ada" })).message, /Ada/);
    made.close();
    assert.throws(() => Client.fromEnviron({}, { CONEXIONES_TIMEOUT: "soon" }), RangeError);
    assert.throws(() => Client.fromEnviron({}, { CONEXIONES_CERT: "client.pem" }), /go together/);
  });

  it("that meets nobody says so", async () => {
    const nobody = client({ address: "127.0.0.1:1", timeoutMs: 2_000 });
    await assert.rejects(nobody.getUser({ name: "Ada" }), UnavailableError);
    await assert.rejects(nobody.image("x"), UnavailableError);
  });
});
