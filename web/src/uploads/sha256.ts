// SHA-256 (FIPS 180-4) of bytes that come piece by piece, which WebCrypto does not offer.

const K = new Int32Array(64);
const INITIAL = new Int32Array(8);
{
  // The constants are the fractional parts of the cube roots and the square roots of the first primes.
  const fraction = (x: number) => Math.floor((x - Math.floor(x)) * 2 ** 32) | 0;
  let found = 0;
  for (let n = 2; found < 64; n++) {
    let prime = true;
    for (let d = 2; d * d <= n; d++) if (n % d === 0) prime = false;
    if (!prime) continue;
    if (found < 8) INITIAL[found] = fraction(Math.sqrt(n));
    K[found++] = fraction(Math.cbrt(n));
  }
}

const BLOCK = 64;
type Eight = [number, number, number, number, number, number, number, number];

export class Sha256 {
  readonly #state = INITIAL.slice();
  readonly #block = new Uint8Array(BLOCK);
  readonly #words = new Int32Array(64);
  #size = 0;

  /** The number of bytes so far. */
  get size(): number {
    return this.#size;
  }

  update(data: Uint8Array): this {
    let at = 0;
    const held = this.#size % BLOCK;
    this.#size += data.length;
    if (held > 0) {
      at = Math.min(BLOCK - held, data.length);
      this.#block.set(data.subarray(0, at), held);
      if (held + at < BLOCK) return this;
      this.#compress(this.#block, 0, BLOCK);
    }
    const whole = data.length - ((data.length - at) % BLOCK);
    this.#compress(data, at, whole);
    this.#block.set(data.subarray(whole));
    return this;
  }

  /** The digest of the bytes so far, 32 bytes long. More bytes may follow. */
  digest(): Uint8Array<ArrayBuffer> {
    const end = new Sha256();
    end.#state.set(this.#state);
    end.#size = this.#size;
    const held = this.#size % BLOCK;
    end.#block.set(this.#block.subarray(0, held));
    const padding = new Uint8Array(held < 56 ? BLOCK - held : 2 * BLOCK - held);
    padding[0] = 0x80;
    const view = new DataView(padding.buffer);
    view.setUint32(padding.length - 8, Math.floor(this.#size / 2 ** 29));
    view.setUint32(padding.length - 4, (this.#size * 8) % 2 ** 32);
    end.update(padding);
    const out = new Uint8Array(32);
    const words = new DataView(out.buffer);
    end.#state.forEach((word, i) => words.setInt32(4 * i, word));
    return out;
  }

  /** The state, to continue from here later. Only at a multiple of 64 bytes; undefined otherwise. */
  save(): Int32Array<ArrayBuffer> | undefined {
    return this.#size % BLOCK === 0 ? new Int32Array(this.#state) : undefined;
  }

  static load(state: Int32Array, size: number): Sha256 {
    const found = new Sha256();
    if (state.length !== 8 || size % BLOCK !== 0) throw new RangeError("That is no state of a SHA-256.");
    found.#state.set(state);
    found.#size = size;
    return found;
  }

  #compress(data: Uint8Array, from: number, to: number): void {
    const w = this.#words;
    const s = this.#state;
    let [h0, h1, h2, h3, h4, h5, h6, h7] = Array.from(s) as Eight;
    for (let at = from; at < to; at += BLOCK) {
      for (let i = 0, p = at; i < 16; i++, p += 4) {
        w[i] = ((data[p] as number) << 24) | ((data[p + 1] as number) << 16) | ((data[p + 2] as number) << 8) | (data[p + 3] as number);
      }
      for (let i = 16; i < 64; i++) {
        const x = w[i - 15] as number;
        const y = w[i - 2] as number;
        const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
        const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
        w[i] = ((w[i - 16] as number) + s0 + (w[i - 7] as number) + s1) | 0;
      }
      let a = h0, b = h1, c = h2, d = h3, e = h4, f = h5, g = h6, h = h7;
      // Eight rounds are unrolled, so that the eight variables change roles instead of being moved.
      for (let i = 0; i < 64; i += 8) {
        h = (h + ((e >>> 6 | e << 26) ^ (e >>> 11 | e << 21) ^ (e >>> 25 | e << 7)) + (g ^ (e & (f ^ g))) + (K[i] as number) + (w[i] as number)) | 0;
        d = (d + h) | 0;
        h = (h + ((a >>> 2 | a << 30) ^ (a >>> 13 | a << 19) ^ (a >>> 22 | a << 10)) + ((a & b) | (c & (a | b)))) | 0;
        g = (g + ((d >>> 6 | d << 26) ^ (d >>> 11 | d << 21) ^ (d >>> 25 | d << 7)) + (f ^ (d & (e ^ f))) + (K[i + 1] as number) + (w[i + 1] as number)) | 0;
        c = (c + g) | 0;
        g = (g + ((h >>> 2 | h << 30) ^ (h >>> 13 | h << 19) ^ (h >>> 22 | h << 10)) + ((h & a) | (b & (h | a)))) | 0;
        f = (f + ((c >>> 6 | c << 26) ^ (c >>> 11 | c << 21) ^ (c >>> 25 | c << 7)) + (e ^ (c & (d ^ e))) + (K[i + 2] as number) + (w[i + 2] as number)) | 0;
        b = (b + f) | 0;
        f = (f + ((g >>> 2 | g << 30) ^ (g >>> 13 | g << 19) ^ (g >>> 22 | g << 10)) + ((g & h) | (a & (g | h)))) | 0;
        e = (e + ((b >>> 6 | b << 26) ^ (b >>> 11 | b << 21) ^ (b >>> 25 | b << 7)) + (d ^ (b & (c ^ d))) + (K[i + 3] as number) + (w[i + 3] as number)) | 0;
        a = (a + e) | 0;
        e = (e + ((f >>> 2 | f << 30) ^ (f >>> 13 | f << 19) ^ (f >>> 22 | f << 10)) + ((f & g) | (h & (f | g)))) | 0;
        d = (d + ((a >>> 6 | a << 26) ^ (a >>> 11 | a << 21) ^ (a >>> 25 | a << 7)) + (c ^ (a & (b ^ c))) + (K[i + 4] as number) + (w[i + 4] as number)) | 0;
        h = (h + d) | 0;
        d = (d + ((e >>> 2 | e << 30) ^ (e >>> 13 | e << 19) ^ (e >>> 22 | e << 10)) + ((e & f) | (g & (e | f)))) | 0;
        c = (c + ((h >>> 6 | h << 26) ^ (h >>> 11 | h << 21) ^ (h >>> 25 | h << 7)) + (b ^ (h & (a ^ b))) + (K[i + 5] as number) + (w[i + 5] as number)) | 0;
        g = (g + c) | 0;
        c = (c + ((d >>> 2 | d << 30) ^ (d >>> 13 | d << 19) ^ (d >>> 22 | d << 10)) + ((d & e) | (f & (d | e)))) | 0;
        b = (b + ((g >>> 6 | g << 26) ^ (g >>> 11 | g << 21) ^ (g >>> 25 | g << 7)) + (a ^ (g & (h ^ a))) + (K[i + 6] as number) + (w[i + 6] as number)) | 0;
        f = (f + b) | 0;
        b = (b + ((c >>> 2 | c << 30) ^ (c >>> 13 | c << 19) ^ (c >>> 22 | c << 10)) + ((c & d) | (e & (c | d)))) | 0;
        a = (a + ((f >>> 6 | f << 26) ^ (f >>> 11 | f << 21) ^ (f >>> 25 | f << 7)) + (h ^ (f & (g ^ h))) + (K[i + 7] as number) + (w[i + 7] as number)) | 0;
        e = (e + a) | 0;
        a = (a + ((b >>> 2 | b << 30) ^ (b >>> 13 | b << 19) ^ (b >>> 22 | b << 10)) + ((b & c) | (d & (b | c)))) | 0;
      }
      h0 = (h0 + a) | 0;
      h1 = (h1 + b) | 0;
      h2 = (h2 + c) | 0;
      h3 = (h3 + d) | 0;
      h4 = (h4 + e) | 0;
      h5 = (h5 + f) | 0;
      h6 = (h6 + g) | 0;
      h7 = (h7 + h) | 0;
    }
    s.set([h0, h1, h2, h3, h4, h5, h6, h7]);
  }
}
