"""What `conexiones doctor` looks at: the installation, and the way to a server."""
