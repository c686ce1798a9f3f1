"""The commands of `conexiones` that are clients, a module for each kind. gRPC is imported only when one
runs."""
