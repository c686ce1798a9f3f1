"""The bench: figures and plots are computed as documented, and a whole row runs end to end."""

import hashlib
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import pyvips

from bench import __main__ as main
from bench.figures import FIGURES, Figure, ratio
from bench.images import Picture
from bench.limits import direct_write
from bench.load import bulk, h2load
from bench.load.streams import Plan, load
from bench.measures import Results, Wrong, interleave
from bench.peers.bare_vips import Task, bare_vips
from bench.peers.server_process import Failed, ours
from bench.record import Record
from bench.report import exponent, plain, publish
from bench.rows import Bench, renditions, transfers, uploads
from bench.rows.source import GET_STREAM_IMAGE, Source
from bench.stored import compare, digests
from conexiones.testing import serve
from tests.support.clients import need
from tests.support.lengths import THOROUGH
from tests.support.paths import ROOT


def results() -> Results:
    return Results(quick=False, rounds=3, machine="a machine")


def test_a_figure_is_the_ratio_of_medians() -> None:
    found = results()
    for one, other in [(4, 2), (9, 1), (5, 3)]:
        found.add("row", "one", one, unit="s")
        found.add("row", "other", other, unit="s")
    record = Record({"piece": found})
    most = Figure("work", 2.5, ratio("row", "one", "other"))
    assert most.measure(record) == 2.5
    assert most.measure_limit(record) is None
    assert most.met(2.5)
    assert not most.met(2.51)
    least = Figure("work", 2.5, ratio("row", "one", "other"), least=True)
    assert least.met(2.5)
    assert not least.met(2.49)
    assert Figure("work", 1, ratio("row", "one", "nobody")).measure(record) is None
    limited = Figure("work", 1, ratio("row", "one", "other"), limit=ratio("row", "other", "one"))
    assert limited.measure_limit(record) == 0.4


def test_contenders_take_turns() -> None:
    found, order = results(), []

    def run(name: str, number: int) -> float:
        order.append(name)
        return number

    interleave(
        found, "row", {"A": lambda number: run("A", number), "B": lambda number: run("B", number)}, unit="s"
    )
    assert order == ["A", "B"] * 3
    assert found.values == {"row": {"A": [0, 1, 2], "B": [0, 1, 2]}}
    assert Results.from_json(found.as_json()) == found


def test_growth_is_told() -> None:
    assert exponent([(x, 3 * x) for x in (1.0, 2.0, 4.0, 8.0)]) == pytest.approx(1)
    assert exponent([(x, 3 * x**2) for x in (1.0, 2.0, 4.0, 8.0)]) == pytest.approx(2)


def test_the_report_has_every_figure_and_well_formed_plots(tmp_path: Path) -> None:
    found = results()
    for fragment in ("4 KiB", "1 MiB"):
        found.add(f"{uploads.BY_FRAGMENT}, {fragment}", "ours & <others>", 100, unit="MB/s")
    for name, seconds in [(uploads.ours_in(65536), 3.0), (uploads.LIMIT, 2.0)]:
        found.add(uploads.ROW, name, seconds, unit="s")
    page = publish(Record({"piece": found}), tmp_path).read_text()
    assert all(f"| {figure.work} | {figure.wanted()} |" in page for figure in FIGURES)
    assert "fragments / local limit | ≤ 1.7 | 1.5 | met |" in page
    assert "| not measured |" in page
    plot = ElementTree.parse(tmp_path / "performance" / "fragments.svg")
    points = [line.get("points") for line in plot.iter("{http://www.w3.org/2000/svg}polyline")]
    assert len(points) == 1


def test_numbers_are_written_out() -> None:
    shown = [plain(value, 4) for value in (18020.4, 1000, 999.97, 337.5, 0.41114, 0)]
    assert shown == ["18,020", "1,000", "1000", "337.5", "0.4111", "0"]
    assert [plain(value, 3) for value in (2622.9, 194.3, 0.864)] == ["2,623", "194", "0.864"]


def test_what_can_be_resumed_is_told_beside_what_cannot(tmp_path: Path) -> None:
    found = results()
    found.add(uploads.ROW, uploads.ours_in(65536), 1.5, unit="s")
    found.add(uploads.ROW, uploads.TUSD, 3.0, unit="s")
    for name, seconds in [(transfers.H2LOAD, 4.0), (transfers.PYTHON, 4.1), (transfers.NODE, 5.0)]:
        found.add(transfers.UPLOAD, name, seconds, unit="s")
    page = publish(Record({"piece": found}), tmp_path).read_text()
    assert "by GetStreamImage, durable | 1.5 s | tusd" in page
    assert "(WriteStream) took 4.1 s by the Python SDK, 5 s by the Node SDK, and 4 s by h2load." in page


def test_the_first_section_says_who_is_faster_and_why_we_are_not(tmp_path: Path) -> None:
    found = results()
    ours = uploads.ours_in(65536)
    for name, seconds in [(ours, 2.0), (uploads.TUSD, 6.0), (uploads.NGINX, 1.0), (uploads.AIO, 2.1)]:
        found.add(uploads.ROW, name, seconds, unit="s")
    page = publish(Record({"piece": found}), tmp_path).read_text()
    first, *_ = page.split("\n## ")[1:]
    assert first.startswith("What is fast, against whom, and where we are behind")
    assert "Of 3 comparisons" in first
    parts = {
        part: first.partition(f"**{part}**")[2].partition("**")[0] for part in ("Faster", "Equally fast")
    }
    assert "2 s | tusd, then sync and SHA-256: 6 s | 3 |" in parts["Faster"]
    assert "grpc.aio with our store: 2.1 s" in parts["Equally fast"]
    slower = first.partition("**Slower**")[2]
    assert "nginx, PUT, then sync and SHA-256: 1 s | 0.5 |" in slower
    assert "copied twice" in slower
    assert "](performance/factors.svg)" in first
    plot = ElementTree.parse(tmp_path / "performance" / "factors.svg")
    bars = plot.findall("{http://www.w3.org/2000/svg}rect")[1:]
    assert len(bars) == 3
    assert len({bar.get("fill") for bar in bars}) == 2


def test_a_piece_that_fails_loses_neither_the_others_nor_its_own_earlier_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = ("users", "large", "page")

    def works(bench: Bench) -> None:
        bench.results.add("row", "one", 5.0, unit="s")

    def fails(bench: Bench) -> None:
        bench.results.add("wrong", "one", 1.0, unit="s")
        raise Wrong("other bytes")

    monkeypatch.setattr(main, "ROWS", {"users": fails, "large": works, "page": fails})
    earlier = results()
    earlier.add("earlier", "one", 2.0, unit="s")
    run = main.Run(Record({"users": earlier, "gone": results()}), tmp_path, quick=True, folder=tmp_path)
    assert run.measure(list(rows)) == ["users", "page"]
    record = Record.read(tmp_path / main.RECORD)
    assert list(record.pieces) == list(rows)
    assert record.median("row", "one") == 5
    assert record.median("earlier", "one") == 2
    assert record.pieces["users"].failure == record.pieces["page"].failure == "Wrong: other bytes"
    with pytest.raises(KeyError):
        record.median("wrong", "one")
    page = (tmp_path / "performance.md").read_text()
    assert page.count("failed** when it was last measured (Wrong: other bytes)") == 2
    # What is there already is left out of a run that goes on.
    commit = record.pieces["large"].commit
    assert record.has("large", commit) is not commit.endswith("+")
    assert not record.has("users", commit)


def test_the_local_limit_writes_what_it_says(tmp_path: Path) -> None:
    picture = Picture(9_000_000)
    try:
        _, digest = direct_write(picture.pieces(), tmp_path / "file")
    except OSError:
        pytest.skip("the file system knows no O_DIRECT")
    assert hashlib.sha256((tmp_path / "file").read_bytes()).digest() == digest == picture.digest


def test_what_h2load_says_is_read() -> None:
    text = (
        "finished in 12.50ms, 80.00 req/s, 9.28KB/s\n"
        "requests: 2 total, 2 started, 2 done, {} succeeded, 0 failed, 0 errored, 0 timeout\n"
        "traffic: 1.1KB (1148) total, 324B (324) headers (space savings 0.00%), 238B (238) data\n"
    )
    assert h2load.read(text.format(2), 2) == h2load.Load(0.0125, 238)
    with pytest.raises(Failed):
        h2load.read(text.format(1), 2)


def test_a_large_body_is_sent_in_the_frames_that_the_server_takes(tmp_path: Path) -> None:
    source = Source(tmp_path, 3_000_000)
    picture = source.number(7)
    sizes = []

    def frames(size: int) -> Path:
        sizes.append(size)
        return source.frames(100_000, size)

    with serve(tmp_path / "data") as server:
        assert bulk.grpc(server.address, GET_STREAM_IMAGE, frames) > 0
    assert sizes == [bulk.LARGEST]  # which takes a tenth less CPU than those of every server
    compare(digests(tmp_path / "data"), [picture.digest])


def test_images_over_many_streams_are_acknowledged_and_stored(tmp_path: Path) -> None:
    plan = Plan(size=40_000, images=50, streams=7, connections=2)  # more than a frame each
    with ours(tmp_path / "data") as server:
        outcome = load(server, plan)
    assert outcome.seconds > 0 < outcome.latency
    assert outcome.server > 0 < outcome.cpu
    found = digests(tmp_path / "data")
    compare(found, plan.digests())
    with pytest.raises(Wrong):
        compare(found, list(plan.digests())[1:])


@THOROUGH
def test_a_quick_run_of_one_row(tmp_path: Path) -> None:
    need("h2load", "apt install nghttp2-client")
    command = [sys.executable, "-m", "bench", "--quick", "users", f"--out={tmp_path}", f"--folder={tmp_path}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    page = (tmp_path / "performance.md").read_text()
    assert "quick run" in page
    assert "grpc.aio with uvloop and our store | ≥ 1.2 | " in page


def test_bytes_are_compared_at_the_same_similarity() -> None:
    path = str(ROOT / "client" / "image" / "elephant.jpg")

    def made(quality: int) -> bytes:
        return Task(path, 200, "JPEG", quality).made()

    original = pyvips.Image.new_from_buffer(Task(path, 200, "PNG", 0).made(), "")
    assert renditions.ssim(original, made(20)) < renditions.ssim(original, made(90)) < 1
    wanted = renditions.ssim(original, made(82))
    assert len(made(80)) < renditions.bytes_for(wanted, original, made) < len(made(85))
    assert renditions.bytes_for(1, original, made) == len(made(100)), "none is as similar"


def test_libvips_alone_makes_what_our_decoders_make() -> None:
    path = str(ROOT / "client" / "image" / "elephant.jpg")
    with bare_vips(1) as bare:
        bare.make([Task(path, width, "JPEG", 80) for width in (60, 61)])
        assert bare.cpu() > 0
