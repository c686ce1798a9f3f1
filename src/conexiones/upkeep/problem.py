"""Why something could not be done."""


class Problem(Exception):
    """The text is one sentence for the operator."""
