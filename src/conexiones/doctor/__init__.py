"""The checks of `conexiones doctor`: of the installation, and of the connection to a server."""
