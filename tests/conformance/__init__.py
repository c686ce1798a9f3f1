"""Conformance suites that others wrote, run against our transport: `python -m tests.conformance`."""
