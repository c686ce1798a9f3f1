"""Conexiones gRPC: users and images of any size between Python, Node.js, browsers and a server."""

__version__ = "0.1.0"
