"""What the verification in the background remembers."""
