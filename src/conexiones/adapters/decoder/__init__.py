"""The pool of processes that decode images."""
