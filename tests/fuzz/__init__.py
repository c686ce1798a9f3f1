"""Fuzzing: programs that make up inputs, to find those at which ours fails, or takes too long.

    make fuzz SECONDS=600                         all targets, in turns
    make fuzz SECONDS=60 TARGETS="formats rpcs"   some of them

What was learnt is kept in build/fuzz, so that the next run goes on where the last one ended. An input that
fails, or that takes too long, is reduced and becomes a file in tests/fuzz/cases, which test_cases.py replays.
"""
