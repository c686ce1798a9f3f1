"""`make attack`: one greedy client beside one good client, and what the good one sees of it."""
