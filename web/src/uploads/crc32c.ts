// CRC-32C (Castagnoli; RFC 3720, appendix B.4), four bytes at a time.

const TABLES: Uint32Array[] = [];
for (let t = 0; t < 4; t++) {
  const table = new Uint32Array(256);
  for (let i = 0; i < 256; i++) {
    let value = t === 0 ? i : ((TABLES[t - 1] as Uint32Array)[i] as number);
    for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1;
    table[i] = value;
  }
  TABLES.push(table);
}
const [T0, T1, T2, T3] = TABLES as [Uint32Array, Uint32Array, Uint32Array, Uint32Array];

export function crc32c(data: Uint8Array): number {
  let crc = 0xffffffff;
  let at = 0;
  for (const whole = data.length - 3; at < whole; at += 4) {
    crc ^= (data[at] as number) | ((data[at + 1] as number) << 8) | ((data[at + 2] as number) << 16) | ((data[at + 3] as number) << 24);
    crc =
      (T3[crc & 255] as number) ^ (T2[(crc >>> 8) & 255] as number) ^ (T1[(crc >>> 16) & 255] as number) ^ (T0[crc >>> 24] as number);
  }
  for (; at < data.length; at++) crc = (T0[(crc ^ (data[at] as number)) & 255] as number) ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}
