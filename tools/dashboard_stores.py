"""The panels for servers that share a PostgreSQL and an object store."""

from dashboard_queries import Panel, quantile, rate

STORES: dict[str, list[Panel]] = {
    "PostgreSQL": [
        Panel(
            "Transactions",
            "ops",
            "That write, by what became of them. unknown: the connection was lost in the commit, and the"
            " database was asked.",
            [(rate("conexiones_database_transactions_total", "outcome"), "{{outcome}}")],
        ),
        Panel(
            "Transactions and reads",
            "s",
            "Every image that is stored waits for a transaction.",
            [
                (quantile(0.5, "conexiones_commit_duration_seconds"), "transaction 50%"),
                (quantile(0.99, "conexiones_commit_duration_seconds"), "transaction 99%"),
                (quantile(0.5, "conexiones_database_read_duration_seconds"), "read 50%"),
                (quantile(0.99, "conexiones_database_read_duration_seconds"), "read 99%"),
            ],
        ),
        Panel(
            "Written in one transaction",
            "short",
            "The more wait, the more of them share a commit.",
            [
                (quantile(0.5, "conexiones_database_group_size"), "50%"),
                (quantile(0.99, "conexiones_database_group_size"), "99%"),
                ("sum(conexiones_database_waiting{OF})", "waiting"),
            ],
        ),
        Panel(
            "Connections",
            "short",
            "Of all servers together.",
            [
                ("sum by (use) (conexiones_database_connections{OF})", "{{use}}"),
                ('sum(conexiones_places_used{resource="catalog_reads", OF})', "reads under way"),
                ('sum(conexiones_waiting{resource="catalog_reads", OF})', "reads that wait"),
            ],
        ),
        Panel(
            "Connections made and lost",
            "short",
            "In an hour.",
            [
                (
                    "sum by (outcome) (increase(conexiones_database_connects_total{OF}[1h]))",
                    "attempts {{outcome}}",
                ),
                ("sum(increase(conexiones_database_connections_lost_total{OF}[1h]))", "lost"),
            ],
        ),
        Panel(
            "Divided among servers",
            "short",
            "What one server does for all: 17 in all, of the verification and the parts of describing.",
            [("sum by (instance) (conexiones_duties{OF})", "{{instance}}")],
        ),
    ],
    "Object store": [
        Panel(
            "Requests",
            "reqps",
            "",
            [(rate("conexiones_objects_request_duration_seconds_count", "request"), "{{request}}")],
        ),
        Panel(
            "Requests that failed",
            "reqps",
            "No answer in time, or an error.",
            [(rate("conexiones_objects_request_failures_total", "request"), "{{request}}")],
        ),
        Panel(
            "Time of a request",
            "s",
            "With the wait for a turn, and with further attempts.",
            [
                (quantile(share, "conexiones_objects_request_duration_seconds", "request"), text)
                for share, text in ((0.5, "{{request}} 50%"), (0.99, "{{request}} 99%"))
            ],
        ),
        Panel(
            "Bytes put and got",
            "Bps",
            "",
            [(rate("conexiones_objects_request_size_bytes_total", "request"), "{{request}}")],
        ),
        Panel(
            "Small images in one object",
            "short",
            "The more come at once, the fewer requests are paid for.",
            [
                (quantile(0.5, "conexiones_objects_pack_images"), "50%"),
                (quantile(0.99, "conexiones_objects_pack_images"), "99%"),
            ],
        ),
        Panel(
            "Bytes of such an object",
            "bytes",
            "",
            [
                (quantile(0.5, "conexiones_objects_pack_size_bytes"), "50%"),
                (quantile(0.99, "conexiones_objects_pack_size_bytes"), "99%"),
            ],
        ),
        Panel(
            "Turns at the object store",
            "short",
            "",
            [
                ('sum(conexiones_places_used{resource="object_requests", OF})', "requests under way"),
                ('sum(conexiones_waiting{resource="object_requests", OF})', "requests that wait"),
            ],
        ),
        Panel(
            "What is to be removed",
            "short",
            "Deleted blobs, and objects that are to be looked at when their time has come.",
            [("sum by (kind) (conexiones_garbage_waiting{OF})", "{{kind}}")],
        ),
        Panel(
            "Removed and compacted",
            "ops",
            "Objects. garbage is what no row ever named.",
            [
                (rate("conexiones_objects_removed_total", "job"), "removed"),
                (rate("conexiones_objects_garbage_total", "job"), "garbage"),
                (rate("conexiones_objects_compacted_total", "job"), "compacted"),
            ],
        ),
        Panel(
            "Since the last sweep",
            "s",
            "Of any server: one at a time sweeps.",
            [("time() - max(conexiones_sweep_last_finished_seconds{OF})", "")],
        ),
    ],
}
