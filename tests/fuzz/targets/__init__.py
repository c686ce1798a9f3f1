"""What is fuzzed: a module for each target, and the table of them."""

from tests.fuzz.target import Target
from tests.fuzz.targets import codecs, formats, front, http, renditions, rpcs, wire

TARGETS: dict[str, Target] = {
    module.TARGET.name: module.TARGET for module in (formats, codecs, front, rpcs, http, renditions, wire)
}
