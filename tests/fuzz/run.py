"""Runs one target for a time: `python -m tests.fuzz.run TARGET SECONDS [blind]`.

With Atheris (https://github.com/google/atheris) inputs are led by the branches that they take. Without it,
and with `blind`, where the program under test is another process, they are mutations of the seeds.
"""

import sys
from contextlib import nullcontext
from importlib import import_module
from importlib.util import find_spec

INSTRUMENTED = ["conexiones", "google.protobuf.json_format"]
"""Modules whose branches Atheris watches. It changes them when they are imported, so nothing here imports
them."""


def main() -> None:
    name, seconds = sys.argv[1], float(sys.argv[2])
    guided = "blind" not in sys.argv and find_spec("atheris") is not None
    if guided:
        import atheris

        watched = atheris.instrument_imports(include=INSTRUMENTED)
    else:
        watched = nullcontext()
    with watched:
        run = import_module("tests.fuzz.session").run
        import_module("tests.fuzz.targets")
    run(name, seconds, guided=guided)


if __name__ == "__main__":
    main()
