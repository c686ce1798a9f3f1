"""The tutorial's promise: its own text still generates clients that work, and its own clients run."""
