"""The steps that make the tables, numbered without gaps. A released file never changes."""
