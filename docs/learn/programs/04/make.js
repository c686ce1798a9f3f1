const fs = require("node:fs");

const [width, height] = [4800, 4800];
const size = 54 + width * height * 3;
const head = Buffer.alloc(54);
head.write("BM");
head.writeUInt32LE(size, 2);
head.writeUInt32LE(54, 10);
head.writeUInt32LE(40, 14);
head.writeInt32LE(width, 18);
head.writeInt32LE(height, 22);
head.writeUInt16LE(1, 26);
head.writeUInt16LE(24, 28);

fs.mkdirSync("build", { recursive: true });
fs.writeFileSync("build/large.bmp", head);
fs.truncateSync("build/large.bmp", size);
console.log(size);
