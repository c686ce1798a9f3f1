"""Data folders as earlier versions wrote them, each packed with what its server said of it."""
