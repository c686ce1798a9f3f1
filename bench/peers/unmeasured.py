"""Our server without the step that measures every call: `python -m bench.peers.composed unmeasured`."""

from collections.abc import Sequence

from bench.peers.composed import compose
from conexiones.transport import front
from conexiones.transport.chain.call import Endpoint
from conexiones.transport.chain.measure import Measure
from conexiones.transport.chain.steps import Step, chain


def _unmeasured(steps: Sequence[Step]) -> Endpoint:
    return chain([step for step in steps if not isinstance(step, Measure)])


vars(front)["chain"] = _unmeasured
app = compose()
