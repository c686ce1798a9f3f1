"""The gRPC services: messages to the domain and back, and nothing else."""
