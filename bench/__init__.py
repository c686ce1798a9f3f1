"""Measures how fast the server takes in images, beside what people would otherwise use: see README.md."""
