"""Programs that end with an iterator of the client unfinished: they do so at once, with their own status."""

import subprocess
import sys
from textwrap import dedent

import pytest

from conexiones import Client
from conexiones.samples import samples
from conexiones.testing import Server

BEGIN = """
import sys
from conexiones.sdk import Client, NewUser

client = Client(sys.argv[1])
"""

ENDS = {
    "images": ("images = client.images(page_size=1); next(images)", 0, ""),
    "watch": ("events = client.watch(ready=store); next(events)", 0, ""),
    "user_stream": ("replies = client.user_stream(users()); next(replies)", 0, ""),
    "image_stream": ("replies = client.image_stream(pictures()); next(replies)", 0, ""),
    "a source that is silent for ever": (
        """
        import threading
        from conexiones import errors

        def silent():
            threading.Event().wait()
            yield b""

        try:
            next(Client("127.0.0.1:9").image_stream(silent()))
        except errors.Unavailable:
            pass
        """,
        0,
        "",
    ),
    "an uncaught exception": (
        "for image in client.images(page_size=1):\n    raise OSError('mine')",
        1,
        "OSError: mine\n",
    ),
    "sys.exit": ("for image in client.images(page_size=1):\n    sys.exit(7)", 7, ""),
    "a closed client": ("images = client.images(page_size=1); next(images); client.close()", 0, ""),
    "a cycle": ("box = []; box += [box, client.images(page_size=1)]; next(box[1])", 0, ""),
    "a module": (
        "import json; json.images = client.images(page_size=1); json.client = client; next(json.images)",
        0,
        "",
    ),
    "a block that is never left": (
        """
        def connected():
            with client:
                yield client

        block = connected()
        next(block)
        images = client.images()
        next(images)
        """,
        0,
        "",
    ),
    "a finalizer": (
        """
        class Closes:
            def __del__(self):
                client.close()

        sys.closes = Closes()
        next(client.images())
        """,
        0,
        "",
    ),
    "another thread": (
        """
        import threading

        images = client.images(page_size=1)
        thread = threading.Thread(target=next, args=(images,))
        thread.start()
        thread.join()
        """,
        0,
        "",
    ),
}

INTERRUPTED = {
    "watch": "client.watch(ready=interrupt)",
    "image_stream": "client.image_stream(silent(samples()[0].data))",
    "user_stream": "client.user_stream(silent(NewUser(name='Ada')))",
    "upload_many": "client.upload_many(silent(samples()[0].data))",
}

INTERRUPT = """
import os, signal
from threading import Event

def interrupt(token=""):
    os.kill(os.getpid(), signal.SIGINT)

def silent(item):
    yield item
    yield item
    interrupt()
    Event().wait()

try:
    for _ in {iterator}:
        pass
except KeyboardInterrupt:
    client.limits()
    print("interrupted")
"""

SOURCES = """
from threading import Thread

from conexiones.samples import samples

def users():
    yield NewUser(name="Ada")
    yield NewUser(name="Luis")

def pictures():
    image = samples()[0].data
    yield image
    yield image

def store(token):
    # Another thread, because the client's own one calls this.
    Thread(target=lambda: Client(sys.argv[1]).process_image(samples()[0].data)).start()
"""


@pytest.mark.parametrize("how", ENDS)
def test_a_program_with_an_unfinished_iterator_ends(shared: Server, how: str) -> None:
    with Client(shared.address) as client:
        for sample in samples()[:2]:
            client.process_image(sample.data)
    code, status, last = ENDS[how]
    ended = subprocess.run(
        [sys.executable, "-c", BEGIN + SOURCES + dedent(code), shared.address],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == status, ended.stderr
    assert ended.stderr.endswith(last), ended.stderr
    assert "ignored" not in ended.stderr, ended.stderr
    assert last or not ended.stderr


@pytest.mark.parametrize("what", INTERRUPTED)
def test_ctrl_c_ends_an_iteration(shared: Server, what: str) -> None:
    program = BEGIN + SOURCES + INTERRUPT.format(iterator=INTERRUPTED[what])
    ended = subprocess.run(
        [sys.executable, "-c", program, shared.address],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "interrupted\n", "")
