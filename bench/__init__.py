"""How fast the server takes images in, beside what people would use otherwise: see bench/README.md."""
