conexiones put client/image/elephant.jpg --wire 2>&1 | sed -n '/2 image: [0-9]/,/crc32c/p'
