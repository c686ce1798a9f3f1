"""What `conexiones` does as a client: one module for each kind of command. gRPC is loaded when one runs."""
