python -m unittest discover docs/learn/programs/11
