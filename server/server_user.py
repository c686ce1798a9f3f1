"""Starts the server, from any folder: python server/server_user.py

Takes the flags and environment variables of `conexiones serve`; --help lists them.
"""

import sys

try:
    from conexiones.cli import serve
except ModuleNotFoundError as error:
    sys.exit(f"The package {error.name} is missing: run `make demo` once, or use .venv/bin/python.")

if __name__ == "__main__":
    serve(prog_name="server_user.py")
