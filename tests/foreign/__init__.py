"""Clients of other languages and libraries against a real server: `python -m tests.foreign`."""
