"""Clients that make the load. They are faster than the servers that are measured."""
