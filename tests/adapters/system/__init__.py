"""What adapters share of the operating system."""
