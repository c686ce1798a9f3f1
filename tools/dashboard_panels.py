"""The panels of the dashboard, and their queries."""

from dashboard_queries import RATE, Panel, of_all, quantile, rate
from dashboard_stores import STORES

RPC = "rpc_server_call_duration_seconds"
HTTP = "http_server_request_duration_seconds"
BRIEF = 'rpc_method=~".*/(GetUser|UploadImage|GetImage|ListImages|CreateUpload|GetUpload|GetStatus)", '
"""Calls whose time does not depend on the size of what they move."""

DASHBOARD: dict[str, list[Panel]] = {
    "Overview": [
        Panel("Ready", "none", "1 while the server takes calls.", [("conexiones_ready{OF}", "")], "stat", 3),
        Panel(
            "Calls per second",
            "reqps",
            "RPCs and plain HTTP together.",
            [(f"sum(rate({RPC}_count{{OF}}[{RATE}])) + sum(rate({HTTP}_count{{OF}}[{RATE}]))", "")],
            "stat",
            3,
        ),
        Panel(
            "Calls that failed by fault of the server",
            "percentunit",
            "Of all RPCs: those with a status that OpenTelemetry counts as an error of a server.",
            [
                (
                    f'(sum(rate({RPC}_count{{error_type!="", rpc_method!="_OTHER", OF}}[{RATE}]))'
                    f" or vector(0)) / sum(rate({RPC}_count{{OF}}[{RATE}]))",
                    "",
                )
            ],
            "stat",
            3,
        ),
        Panel(
            "Slowest hundredth of brief calls",
            "s",
            "99 of 100 calls whose time does not depend on sizes are faster.",
            [(quantile(0.99, RPC, choose=BRIEF), "")],
            "stat",
            3,
        ),
        Panel("Images", "short", "Images that are stored.", [(of_all("conexiones_images"), "")], "stat", 3),
        Panel(
            "Bytes of images",
            "bytes",
            "Of all of them.",
            [(of_all("conexiones_images_size_bytes"), "")],
            "stat",
            3,
        ),
        Panel(
            "Free on the disk",
            "percentunit",
            "Of the file system of the data folder.",
            [("min(conexiones_storage_free_bytes{OF} / conexiones_storage_capacity_bytes{OF})", "")],
            "stat",
            3,
        ),
        Panel("Up for", "s", "Since the start.", [("min(process_uptime_seconds{OF})", "")], "stat", 3),
    ],
    "Calls": [
        Panel("RPCs by method", "reqps", "", [(rate(f"{RPC}_count", "rpc_method"), "{{rpc_method}}")]),
        Panel(
            "RPCs by status",
            "reqps",
            "Connect has no word for success.",
            [(rate(f"{RPC}_count", "rpc_response_status_code"), "{{rpc_response_status_code}}")],
        ),
        Panel(
            "Plain HTTP by status",
            "reqps",
            "Images, the page and sessions. 304 is an answer from the client's own cache.",
            [(rate(f"{HTTP}_count", "http_response_status_code"), "{{http_response_status_code}}")],
        ),
        Panel(
            "Refusals by reason",
            "reqps",
            "The reasons are those of docs/errors.md.",
            [(rate("conexiones_refusals_total", "reason"), "{{reason}}")],
        ),
        Panel(
            "Bytes of bodies",
            "Bps",
            "",
            [
                (rate("conexiones_calls_received_bytes_total", "protocol"), "received by {{protocol}}"),
                (rate("conexiones_calls_sent_bytes_total", "protocol"), "sent by {{protocol}}"),
            ],
        ),
        Panel(
            "Calls under way",
            "short",
            "",
            [("sum by (protocol) (conexiones_calls_active{OF})", "{{protocol}}")],
        ),
        Panel(
            "Credentials",
            "reqps",
            "How callers showed who they are.",
            [(rate("conexiones_calls_total", "credential"), "{{credential}}")],
        ),
        Panel(
            "Quotas in use",
            "percentunit",
            "Nine of ten images that were stored by owners with a quota left it less full than this.",
            [(quantile(0.9, "conexiones_quota_use", "quota"), "{{quota}}")],
        ),
        Panel(
            "Watchers",
            "short",
            "Calls of WatchImages, and how many events the slowest of them has not heard of.",
            [
                ("sum(conexiones_watchers{OF})", "watchers"),
                ("max(conexiones_watch_behind{OF})", "events behind"),
                ("sum(increase(conexiones_watch_resyncs_total{OF}[1h]))", "resyncs in an hour"),
            ],
        ),
    ],
    "Latencies": [
        Panel(
            "Brief calls",
            "s",
            "Calls whose time does not depend on the size of what they move.",
            [(quantile(share, RPC, choose=BRIEF), f"{share:.0%}") for share in (0.5, 0.9, 0.99)],
        ),
        Panel(
            "Slowest hundredth by method", "s", "", [(quantile(0.99, RPC, "rpc_method"), "{{rpc_method}}")]
        ),
        Panel(
            "Slowest hundredth of plain HTTP",
            "s",
            "",
            [(quantile(0.99, HTTP, "http_route"), "{{http_route}}")],
        ),
        Panel(
            "Waiting now",
            "short",
            "Calls and other work that wait for memory, for places or for decoders.",
            [("sum by (resource) (conexiones_waiting{OF})", "{{resource}}")],
        ),
        Panel(
            "Waits, slowest hundredth",
            "s",
            "Of those that had to wait.",
            [(quantile(0.99, "conexiones_wait_duration_seconds", "resource"), "{{resource}}")],
        ),
        Panel(
            "How late the event loop is",
            "s",
            "All calls wait for it.",
            [(quantile(0.99, "conexiones_event_loop_delay_seconds"), "99%")],
        ),
    ],
    "Storing": [
        Panel(
            "Images stored",
            "ops",
            "",
            [
                (rate("conexiones_images_stored_total", "way"), "{{way}}"),
                (rate("conexiones_images_deleted_total", "instance"), "deleted"),
            ],
        ),
        Panel("Formats", "ops", "", [(rate("conexiones_images_stored_total", "format"), "{{format}}")]),
        Panel(
            "Bytes stored",
            "Bps",
            "",
            [(rate("conexiones_images_stored_size_bytes_total", "way"), "{{way}}")],
        ),
        Panel(
            "Resumable uploads",
            "ops",
            "",
            [
                (rate("conexiones_uploads_ended_total", "outcome"), "{{outcome}}"),
                (rate("conexiones_uploads_created_total", "instance"), "created"),
                (rate("conexiones_uploads_resumed_total", "instance"), "resumed"),
                (rate("conexiones_uploads_fenced_total", "instance"), "fenced"),
                (of_all("conexiones_uploads_open"), "open now"),
            ],
        ),
        Panel(
            "fsync",
            "s",
            "Small images of a group, what an upload commits, whole large images.",
            [
                (quantile(0.5, "conexiones_fsync_duration_seconds", "file"), "{{file}} 50%"),
                (quantile(0.99, "conexiones_fsync_duration_seconds", "file"), "{{file}} 99%"),
            ],
        ),
        Panel(
            "Commits of the catalog",
            "s",
            "",
            [
                (quantile(0.5, "conexiones_commit_duration_seconds"), "50%"),
                (quantile(0.99, "conexiones_commit_duration_seconds"), "99%"),
            ],
        ),
        Panel(
            "Jobs that are made durable together",
            "short",
            "The more callers there are, the more of them share an fsync.",
            [
                (quantile(0.5, "conexiones_writer_group_size"), "50%"),
                (quantile(0.99, "conexiones_writer_group_size"), "99%"),
                ("sum by (state) (conexiones_writer_jobs{OF})", "{{state}}"),
            ],
        ),
        Panel(
            "On the disk",
            "bytes",
            "",
            [
                (of_all("conexiones_storage_size_bytes", "part"), "{{part}}"),
                ('sum(conexiones_cache_size_bytes{cache="renditions", OF})', "renditions"),
                ("min(conexiones_storage_free_bytes{OF})", "free"),
                ("min(conexiones_storage_reserve_bytes{OF})", "reserve"),
            ],
        ),
        Panel(
            "The writing process",
            "short",
            "1 while there is one, and how often one was started anew.",
            [
                ("min(conexiones_writer_processes{OF})", "processes"),
                ("sum(increase(conexiones_writer_restarts_total{OF}[1h]))", "restarts in an hour"),
                ("max(conexiones_writer_silence_seconds{OF})", "seconds without an answer"),
                (rate("conexiones_segments_appended_bytes_total", "instance"), "bytes appended per second"),
            ],
        ),
    ],
    **STORES,
    "Verifying": [
        Panel(
            "Damaged images",
            "short",
            "Stored images that are not what was stored. They are never served.",
            [(of_all("conexiones_verify_damaged"), "damaged")],
        ),
        Panel(
            "Verified in the background",
            "Bps",
            "Bytes that were read and compared.",
            [(rate("conexiones_verify_bytes_total", "instance"), "{{instance}}")],
        ),
    ],
    "Decoding": [
        Panel(
            "Decoders",
            "short",
            "",
            [
                ("sum by (pool) (conexiones_decoder_busy{OF})", "{{pool}} busy"),
                ("sum by (pool) (conexiones_decoder_waiting{OF})", "{{pool}} waiting"),
                ("sum by (pool) (conexiones_decoder_processes{OF})", "{{pool}} processes"),
                ("sum by (pool) (conexiones_decoder_limit{OF})", "{{pool}} limit"),
            ],
        ),
        Panel(
            "Time for a piece of work",
            "s",
            "",
            [
                (quantile(0.5, "conexiones_decoder_work_duration_seconds", "task"), "{{task}} 50%"),
                (quantile(0.99, "conexiones_decoder_work_duration_seconds", "task"), "{{task}} 99%"),
            ],
        ),
        Panel(
            "Work by outcome",
            "ops",
            "",
            [
                (
                    rate("conexiones_decoder_work_duration_seconds_count", "task, outcome"),
                    "{{task}} {{outcome}}",
                )
            ],
        ),
        Panel(
            "Decoders that have ended",
            "short",
            "In an hour, by cause.",
            [("sum by (cause) (increase(conexiones_decoder_deaths_total{OF}[1h]))", "{{cause}}")],
        ),
        Panel(
            "Seconds of decoders by kind of work",
            "percentunit",
            "1 is one decoder that is always busy.",
            [(rate("conexiones_decoder_work_duration_seconds_sum", "pool, task"), "{{pool}} {{task}}")],
        ),
        Panel(
            "Describing in the background",
            "short",
            "Images that wait for their facts, and how many got some.",
            [
                ("sum by (kind) (conexiones_describing_backlog{OF})", "{{kind}} waiting"),
                (rate("conexiones_describing_described_total", "outcome"), "{{outcome}} per second"),
            ],
        ),
    ],
    "Caches": [
        Panel(
            "Hits",
            "percentunit",
            "What was there, of what was looked for.",
            [
                (
                    f'sum by (cache) (rate(conexiones_cache_lookups_total{{result="hit", OF}}[{RATE}]))'
                    f" / sum by (cache) (rate(conexiones_cache_lookups_total{{OF}}[{RATE}]))",
                    "{{cache}}",
                )
            ],
        ),
        Panel(
            "Fill",
            "percentunit",
            "",
            [("conexiones_cache_size_bytes{OF} / conexiones_cache_limit_bytes{OF}", "{{cache}}")],
        ),
        Panel(
            "Evictions",
            "ops",
            "Entries that made room for others.",
            [(rate("conexiones_cache_evictions_total", "cache"), "{{cache}}")],
        ),
    ],
    "Memory and processes": [
        Panel(
            "Resident memory",
            "bytes",
            "What processes share counts for each.",
            [("sum by (process) (process_memory_usage_bytes{OF})", "{{process}}")],
        ),
        Panel(
            "Budgets",
            "percentunit",
            "How full the budgets of memory are.",
            [("conexiones_memory_used_bytes{OF} / conexiones_memory_limit_bytes{OF}", "{{budget}}")],
        ),
        Panel(
            "Places",
            "percentunit",
            "How many of the places for calls and work are taken.",
            [("conexiones_places_used{OF} / conexiones_places_limit{OF}", "{{resource}}")],
        ),
        Panel(
            "Processor",
            "percentunit",
            "1 is a whole core.",
            [(rate("process_cpu_time_seconds_total", "process"), "{{process}}")],
        ),
        Panel(
            "Descriptors",
            "short",
            "",
            [
                ("sum by (process) (conexiones_process_descriptors{OF})", "{{process}}"),
                ("min(conexiones_process_descriptors_limit{OF})", "limit of the server"),
            ],
        ),
        Panel("Threads", "short", "", [("sum by (process) (conexiones_process_threads{OF})", "{{process}}")]),
    ],
    "Envoy": [
        Panel(
            "Connections",
            "short",
            "",
            [
                (
                    'sum(envoy_http_downstream_cx_active{envoy_http_conn_manager_prefix="ingress_http", OF})',
                    "open",
                ),
            ],
        ),
        Panel(
            "Answers by class",
            "reqps",
            "",
            [
                (
                    rate("envoy_http_downstream_rq_xx", "envoy_response_code_class"),
                    "{{envoy_response_code_class}}xx",
                )
            ],
        ),
        Panel(
            "Memory of Envoy",
            "bytes",
            "With Python inside.",
            [("sum(envoy_server_memory_allocated{OF})", "allocated")],
        ),
        Panel(
            "Streams that clients have reset",
            "ops",
            "",
            [(rate("envoy_http_downstream_rq_rx_reset", "instance"), "{{instance}}")],
        ),
        Panel(
            "Bytes on the wire",
            "Bps",
            "",
            [
                (rate("envoy_http_downstream_cx_rx_bytes_total", "instance"), "received"),
                (rate("envoy_http_downstream_cx_tx_bytes_total", "instance"), "sent"),
            ],
        ),
    ],
}
