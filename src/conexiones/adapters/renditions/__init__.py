"""The cache of renditions."""
