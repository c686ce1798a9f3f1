"""The process that makes small blobs and the SQLite catalog durable."""
