"""The tools that set up a clone."""
