"""What is done with a data folder beside its server, or without one: backup, restore, verify.

Like app.py this puts adapters together, and the command line is all that uses it.
"""
