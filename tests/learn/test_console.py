"""The program that lesson 10 has one paste into the console of a browser, on the server's own page."""

from conexiones.testing import Server
from tests.learn.tools import learn_programs
from tests.support.chromium import browse


def test_the_first_program_of_lesson_10_runs_in_a_browser(shared: Server) -> None:
    address = f"localhost:{shared.port}"
    program = (learn_programs.PROGRAMS / "10" / "hello.js").read_text()
    typed = program.replace(learn_programs.ADDRESS, address)
    (found,) = browse({"url": f"http://{address}/", "typed": typed})
    assert found["said"] == ["log: ¡Hola, Nora! Tu pow es 12 y su cuadrado es 144."]
