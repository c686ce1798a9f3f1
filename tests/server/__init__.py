"""The server as a whole: starting, stopping and killed, with much to hold, over gRPC and HTTP at once.

What one file of src/ decides alone is tested in the folder of that file: transport, services, commands.
"""
