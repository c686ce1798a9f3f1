import struct
from pathlib import Path

width, height = 4800, 4800
size = 54 + width * height * 3
head = struct.pack("<2sIHHI", b"BM", size, 0, 0, 54)
info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)

Path("build").mkdir(exist_ok=True)
with open("build/large.bmp", "wb") as file:
    file.write(head + info)
    file.truncate(size)
print(size)
