"""How many calls and bytes a caller may have in a second."""

from collections import OrderedDict

from conexiones.principals import Principal
from conexiones.transport.chain.call import Call, Endpoint
from conexiones.transport.chain.pace import FREE, Bucket, Pace

_CALLERS = 10_000
"""Callers whose rates are remembered; of more, those who called last. Who has not called for BURST_SECONDS
may have as much as one who has never called."""


class Rates:
    """A step of the chain, behind that which finds out who calls: refuses calls beyond the rates of the
    caller, and paces those with many bytes. Health, the page and reflection have none.

    Callers are told apart by owner; those with a ticket by that, and those with a link or nothing by address.
    """

    def __init__(self) -> None:
        self._calls: OrderedDict[str, Bucket] = OrderedDict()
        self._bytes: OrderedDict[str, Bucket] = OrderedDict()

    async def __call__(self, call: Call, rest: Endpoint) -> None:
        """Raises RateExceeded."""
        allowance = call.principal.allowance
        calls, size = allowance.calls_per_second, allowance.bytes_per_second
        if calls is not None or size is not None:
            key = _key(call.principal) or call.caller.client
            # First the bytes: a call that is refused for them is not counted.
            if size is not None:
                bucket = _bucket(self._bytes, key, size, least=FREE)
                if bucket.level <= 0 or not size:
                    raise bucket.refusal("bytes", 1)
                call.pace_by(Pace(bucket))
            if calls is not None:
                bucket = _bucket(self._calls, key, calls, least=1)
                if bucket.level < 1 or not calls:
                    raise bucket.refusal("calls", 1)
                bucket.level -= 1
        await rest(call)


def _key(principal: Principal) -> str:
    """Whose rate it is; empty for who has none but its address."""
    if principal.terms:
        return f"ticket {principal.credential}"
    return f"owner {principal.owner}" if principal.owner else ""


def _bucket(buckets: OrderedDict[str, Bucket], key: str, rate: float, *, least: float) -> Bucket:
    bucket = buckets.get(key)
    if bucket is None:
        bucket = buckets[key] = Bucket(rate, least=least)
        if len(buckets) > _CALLERS:
            buckets.popitem(last=False)
    else:
        buckets.move_to_end(key)
        bucket.fill(rate)
    return bucket
