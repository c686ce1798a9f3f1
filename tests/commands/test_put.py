"""`put` of folders, the names of files, and what `ls` shows of them."""

import os
import re
from pathlib import Path

import pytest

from conexiones import Client
from conexiones.testing import Server
from tests.commands.shell import Shell, lines, said
from tests.support.bitmaps import bitmap


def image(seed: int, width: int = 20) -> bytes:
    return b"".join(bitmap(width, 10, seed=seed)) + os.urandom(8)


@pytest.fixture
def album(shell: Shell) -> Path:
    """Three images that no server has yet, below one folder."""
    folder = shell.folder / "album"
    (folder / "deeper").mkdir(parents=True)
    for seed, name in enumerate(("a.bmp", "b.bmp", "deeper/c.bmp")):
        (folder / name).write_bytes(image(seed))
    return folder


def test_what_is_there_already_is_skipped(shell: Shell, album: Path, somebody: str) -> None:
    put = ("put", "album", "--json", "--user", somebody)
    first = {row["file"]: row for row in lines(shell(*put))}
    assert [row["skipped"] for row in first.values()] == [False] * 3
    again = {row["file"]: row for row in lines(shell(*put))}
    assert [row["skipped"] for row in again.values()] == [True] * 3
    assert [again[file]["id"] for file in first] == [row["id"] for row in first.values()]
    (album / "d.bmp").write_bytes(image(4))
    (album / "a.bmp").write_bytes(image(5))
    third = {row["file"]: row["skipped"] for row in lines(shell(*put))}
    assert third == {
        "album/a.bmp": False,
        "album/b.bmp": True,
        "album/d.bmp": False,
        "album/deeper/c.bmp": True,
    }
    people = shell("put", "album", "--user", somebody).stdout.decode().splitlines()
    assert all(re.fullmatch(r"\S{36}  BMP .* album/\S+ \(there already\)", line) for line in people)
    assert shell("put", "album", "--user", somebody, "--quiet").stdout == b""
    # Another user has none of them, but nobody in particular has.
    other = shell("put", "album", "--json", "--user", f"Luz {somebody}")
    assert not any(row["skipped"] for row in lines(other))
    assert all(row["skipped"] for row in lines(shell("put", "album", "--json")))
    # To insist, or to name a file, sends it.
    assert not any(row["skipped"] for row in lines(shell(*put, "--again")))
    (named,) = lines(shell("put", "album/b.bmp", "--json", "--user", somebody))
    assert (named["skipped"], named["id"] != first["album/b.bmp"]["id"]) == (False, True)


def test_a_folder_of_many(shell: Shell, somebody: str) -> None:
    folder = shell.folder / "many"
    folder.mkdir()
    for number in range(250):
        (folder / f"{number:03}.bmp").write_bytes(image(number))
    (folder / "large.bmp").write_bytes(image(0, width=60_000))
    (folder / "no image.txt").write_bytes(b"no image")
    put = ("put", "many", "--json", "--user", somebody)
    ran = shell(*put, status=1)
    rows = {row["file"]: row for row in lines(ran)}
    assert len(rows) == 252
    assert rows.pop("many/no image.txt")["error"]["reason"] == "NOT_AN_IMAGE"
    assert all(file == f"many/{row['name']}" and not row["skipped"] for file, row in rows.items())
    (line,) = said(ran)
    assert line.startswith("conexiones: many/no image.txt: ")
    assert len(list(folder.iterdir())) == 252
    again = lines(shell(*put, status=1))
    assert {row["file"]: row["id"] for row in again if row.get("skipped")} == {
        file: row["id"] for file, row in rows.items()
    }


def test_an_image_that_was_deleted_is_sent_again(shell: Shell, album: Path, somebody: str) -> None:
    del album
    put = ("put", "album", "--json", "--user", somebody)
    shell("rm", *(row["id"] for row in lines(shell(*put))))
    assert not any(row["skipped"] for row in lines(shell(*put)))


def test_folders_with_nothing_to_send(shell: Shell) -> None:
    (shell.folder / "empty").mkdir()
    (shell.folder / "hidden").mkdir()
    (shell.folder / "hidden" / ".a.bmp").write_bytes(image(1))
    (shell.folder / "hidden" / "b.bmp.part").write_bytes(image(1))
    os.mkfifo(shell.folder / "hidden" / "pipe")
    assert said(shell("put", "empty", "hidden")) == [
        "conexiones: empty: There is no file to send in this folder.",
        "conexiones: hidden: There is no file to send in this folder.",
    ]
    assert shell("put", "empty", "--quiet").stderr == b""


def test_links_in_folders_that_lead_nowhere_are_named(shell: Shell, album: Path, somebody: str) -> None:
    (album / "gone.bmp").symlink_to("nowhere.bmp")
    (album / "round.bmp").symlink_to("round.bmp")
    (album / "folder").symlink_to(album)
    ran = shell("put", "album", "--json", "--user", somebody, status=1)
    rows = lines(ran)
    assert {row["file"]: row["error"]["message"] for row in rows if "error" in row} == {
        "album/gone.bmp": "No such file or directory.",
        "album/round.bmp": "Too many levels of symbolic links.",
    }
    assert sum("id" in row for row in rows) == len(rows) - 2 >= 3


@pytest.mark.parametrize(
    "arguments",
    [
        ("album/a.bmp", "album/a.bmp"),
        ("album", "album"),
        ("album", "./album/a.bmp", "album/../album/b.bmp"),
        ("album/deeper/c.bmp", "album"),
        ("album", "album/deeper"),
        ("{here}/album", "album", "{here}/album/a.bmp"),
        ("linked", "album", "a link.bmp"),
        ("hard.bmp", "album"),
    ],
)
def test_one_file_twice_is_one_upload(
    shell: Shell, album: Path, somebody: str, arguments: tuple[str, ...], shared: Server
) -> None:
    (shell.folder / "linked").symlink_to(album)
    (shell.folder / "a link.bmp").symlink_to(album / "a.bmp")
    (shell.folder / "hard.bmp").hardlink_to(album / "a.bmp")
    paths = [one.format(here=shell.folder) for one in arguments]
    sent = lines(shell("put", *paths, "--json", "--user", somebody))
    wanted = 1 if paths == ["album/a.bmp"] * 2 else 3
    assert not any(row["skipped"] for row in sent)
    with Client(shared.address) as client:
        assert len(sent) == len(list(client.images(user=somebody))) == wanted
    assert not list(album.glob("**/*.conexiones-upload"))


def test_names_go_with_the_images(shell: Shell, somebody: str, shared: Server) -> None:
    odd = {
        b"M\xc3\xa1laga en mayo.bmp": "Málaga en mayo.bmp",
        b"\xff\xfe.bmp": "��.bmp",
        b"a\x1b[31m\nb.bmp": None,
        b"\xe6\xbc\xa2" * 83 + b".bmp": "漢" * 83 + ".bmp",
    }
    for seed, name in enumerate(odd):
        (Path(os.fsdecode(os.fsencode(shell.folder) + b"/" + name))).write_bytes(image(seed))
    ran = shell("put", ".", "--user", somebody)
    assert b"\x1b" not in ran.stdout
    assert ran.stdout.count(b"\n") == len(odd)
    with Client(shared.address) as client:
        kept = {image.name for image in client.images(user=somebody)}
    assert {name for name in odd.values() if name} < kept
    assert not any(ord(letter) < 32 for name in kept for letter in name)
    found = lines(shell("ls", "--json", "--user", somebody, "--name", "MÁLAGA"))
    assert [row["name"] for row in found] == ["Málaga en mayo.bmp"]
    listed = shell("ls", "--user", somebody)
    assert b"\x1b" not in listed.stdout
    assert listed.stdout.count(b"\n") == len(odd)
    got = shell("get", found[0]["id"]).stdout.decode()
    assert got.endswith(f"  {found[0]['id']}.bmp (Málaga en mayo.bmp)\n")
    shell("put", ".", "--user", somebody, "--json", "--again")
    # An encoding that has no such letters is no error.
    assert b"\\u6f22" in shell("ls", "--user", somebody, COLUMNS="300", PYTHONIOENCODING="latin-1").stdout


@pytest.mark.parametrize(("columns", "width"), [("", 80), ("80", 80), ("60", 70), ("120", 120), ("400", 400)])
def test_a_list_fits_the_terminal(shell: Shell, somebody: str, columns: str, width: int) -> None:
    name = f"{'a long name, ' * 15}.bmp"
    (shell.folder / name).write_bytes(image(1))
    (shell.folder / ("漢" * 80)).write_bytes(image(2, width=123_456))
    shell("put", ".", "--user", somebody)
    listed = shell("ls", "--user", somebody, COLUMNS=columns).stdout.decode().splitlines()
    assert len(listed) == 2
    for line in listed:
        assert len(line) + line.count("漢") <= width
    assert ("…" in listed[1]) == (70 < width < 300)  # the narrowest has no room for names
    assert (name in listed[1]) == (width == 400)


def test_a_list_tells_names_from_users(shell: Shell, somebody: str) -> None:
    (shell.folder / "named.bmp").write_bytes(image(1))
    shell("put", "named.bmp", "--user", somebody)
    shell("put", "-", "--user", somebody, text=image(2))
    named, unnamed = sorted(shell("ls", "--user", somebody, COLUMNS="200").stdout.decode().splitlines())
    assert named.endswith(f"  named.bmp  @{somebody}")
    assert unnamed.endswith(f"  @{somebody}")


def test_what_is_no_file_is_said_once(shell: Shell) -> None:
    (shell.folder / "dangling").symlink_to("none")
    ran = shell("put", "nothere.bmp", "a/b.bmp", "dangling", "http://host/a.jpg", status=1)
    assert sorted(said(ran)) == [
        "conexiones: a/b.bmp: No such file or directory.",
        "conexiones: dangling: No such file or directory.",
        "conexiones: http://host/a.jpg: This is a URL. Send what it gives: curl -fL URL | conexiones put -.",
        "conexiones: nothere.bmp: No such file or directory.",
    ]
