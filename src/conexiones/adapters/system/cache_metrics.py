"""What is counted of a cache, whichever it is."""

from collections.abc import Callable

from conexiones.metrics import Counter, Metrics


class CacheMetrics:
    """`hits`, `misses` and `evictions` are for the cache to count; an eviction makes room for something else.
    `size` gives the bytes that it holds, and `limit` those that it may hold."""

    __slots__ = ("evictions", "hits", "misses")

    def __init__(self, metrics: Metrics, cache: str, *, size: Callable[[], int], limit: int) -> None:
        lookups = metrics.counters(
            "conexiones.cache.lookups",
            "{lookup}",
            "What was looked for in a cache, and whether it was there (hit, miss).",
            ("cache", "result"),
        )
        self.hits: Counter = lookups.of(cache, "hit")
        self.misses: Counter = lookups.of(cache, "miss")
        self.evictions: Counter = metrics.counters(
            "conexiones.cache.evictions",
            "{entry}",
            "Entries that made room for others in a cache.",
            ("cache",),
        ).of(cache)
        metrics.observe(
            "conexiones.cache.size", "By", "Bytes in a cache.", lambda: {(cache,): size()}, ("cache",)
        )
        metrics.observe(
            "conexiones.cache.limit",
            "By",
            "Bytes that a cache may have.",
            lambda: {(cache,): limit},
            ("cache",),
        )
