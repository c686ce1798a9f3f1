"""Stores of bytes, one folder for each kind."""
