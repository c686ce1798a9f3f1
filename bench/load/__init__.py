"""What makes the load: faster than what it is put on."""
