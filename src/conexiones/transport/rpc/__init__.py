"""RPCs: gRPC and Connect, from bytes to handlers and back."""
