"""The behaviour of the whole server: start, drain, kill, bounded memory, gRPC and HTTP side by side.

What a single file of src/ decides is tested in the folder that corresponds to it: transport, services and
commands.
"""
