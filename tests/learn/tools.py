"""The tools that make the course, for its tests."""

import sys

from tests.support.paths import ROOT

sys.path.insert(0, str(ROOT / "tools"))
import learn  # type: ignore[import-not-found]  # tools/ is no package
import learn_pages  # type: ignore[import-not-found]
import learn_programs  # type: ignore[import-not-found]

__all__ = ["learn", "learn_pages", "learn_programs"]
