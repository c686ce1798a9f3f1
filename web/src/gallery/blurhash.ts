// Decodes a BlurHash (https://github.com/woltapp/blurhash/blob/master/Algorithm.md) into a small canvas.

const DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz#$%*+,-.:;=?@[]^_{|}~";

function base83(text: string): number {
  let value = 0;
  for (const digit of text) value = value * 83 + DIGITS.indexOf(digit);
  return value;
}

function linear(value: number): number {
  const v = value / 255;
  return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
}

function srgb(value: number): number {
  const v = Math.max(0, Math.min(1, value));
  return Math.round((v <= 0.0031308 ? v * 12.92 : 1.055 * v ** (1 / 2.4) - 0.055) * 255);
}

function signedSquare(value: number): number {
  return Math.sign(value) * value * value;
}

/** The pixels as RGBA, or undefined if the text is not a BlurHash. */
export function decode(hash: string, width: number, height: number): Uint8ClampedArray<ArrayBuffer> | undefined {
  if (hash.length < 6 || [...hash].some((digit) => !DIGITS.includes(digit))) return undefined;
  const size = base83(hash.slice(0, 1));
  const across = (size % 9) + 1;
  const down = Math.floor(size / 9) + 1;
  if (hash.length !== 4 + 2 * across * down) return undefined;
  const most = (base83(hash.slice(1, 2)) + 1) / 166;
  const first = base83(hash.slice(2, 6));
  const colours: [number, number, number][] = [[linear(first >> 16), linear((first >> 8) & 255), linear(first & 255)]];
  for (let i = 1; i < across * down; i++) {
    const value = base83(hash.slice(4 + 2 * i, 6 + 2 * i));
    const part = (digit: number) => signedSquare((digit - 9) / 9) * most;
    colours.push([part(Math.floor(value / 361)), part(Math.floor(value / 19) % 19), part(value % 19)]);
  }
  const pixels = new Uint8ClampedArray(4 * width * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      let [r, g, b] = [0, 0, 0];
      for (let j = 0; j < down; j++) {
        for (let i = 0; i < across; i++) {
          const basis = Math.cos((Math.PI * x * i) / width) * Math.cos((Math.PI * y * j) / height);
          const colour = colours[i + j * across] as [number, number, number];
          r += colour[0] * basis;
          g += colour[1] * basis;
          b += colour[2] * basis;
        }
      }
      pixels.set([srgb(r), srgb(g), srgb(b), 255], 4 * (x + y * width));
    }
  }
  return pixels;
}

/** Draws the placeholder of an image of this width and height, cropped to a square like its thumbnail. */
export function draw(canvas: HTMLCanvasElement, hash: string, width: number, height: number): boolean {
  const side = 16;
  const [w, h] = width >= height ? [Math.min(64, Math.round((side * width) / height)), side] : [side, Math.min(64, Math.round((side * height) / width))];
  const pixels = decode(hash, w, h);
  if (!pixels) return false;
  canvas.width = canvas.height = side;
  const left = Math.round((side - w) / 2);
  const top = Math.round((side - h) / 2);
  canvas.getContext("2d")?.putImageData(new ImageData(pixels, w, h), left, top);
  return true;
}
