"""The chain around every call: small steps, each of which does one thing for all protocols."""
