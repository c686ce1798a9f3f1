"""What is done beside servers, or without any: backup, restore and verify of a data folder, and the move of
all that servers keep to another place (migrate.py).

Like app.py this puts adapters together, and the command line is all that uses it.
"""
