"""Where things are in the repository."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WEB = ROOT / "tests" / "web"
"""The Node.js package with which the tests drive a browser and @grpc/grpc-js."""
