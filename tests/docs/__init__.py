"""The documents of docs/: every command and example in them is run, every table compared with the code."""
