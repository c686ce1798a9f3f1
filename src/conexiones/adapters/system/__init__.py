"""What adapters share of the operating system: files, threads, processes."""
