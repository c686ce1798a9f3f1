"""Catalogs, one folder for each database."""
