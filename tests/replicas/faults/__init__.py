"""Servers under one load, while they, their database and their object store fail in turn.

    arena.py      what a piece of runs has: the engines, three servers, and the ways between all of them
    ways.py       ways that can be cut, or on which answers are late, refused or lost
    load.py       clients that store, read, delete and watch, in Python; node_load.py, those in Node
    told.py       what clients were told
    wrong.py      what goes wrong, and is well again afterwards
    verdict.py    whether all is so that clients were told, and nothing is left
    runs.py       a run: load, a fault, verdict

`python -m tests.replicas.faults` makes many runs, in pieces that go on by their seeds.
"""
