"""The server's processes: the one that users start, and Envoy with the application inside."""
