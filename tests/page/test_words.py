"""The page says tú to its users, and so do the sentences of the server that it shows."""

import re
from collections.abc import Iterator

from conexiones.errors import ConexionesError
from tests.support.paths import ROOT

FORMAL = re.compile(
    r"\b(ustedes|usted|sus|envíe|vuelva|inténtelo|termine|use|elija|pruebe|espere|añada|puede tener)\b",
    re.IGNORECASE,
)


def errors(above: type[ConexionesError] = ConexionesError) -> Iterator[type[ConexionesError]]:
    for one in above.__subclasses__():
        yield one
        yield from errors(one)


def test_nobody_is_addressed_formally() -> None:
    sentences = [str(vars(error)["spanish"]) for error in errors() if "spanish" in vars(error)]
    assert len(sentences) > 40
    words = (ROOT / "web" / "src" / "words" / "es.ts").read_text("utf8")
    # "Sus píxeles" are those of an image.
    said = [*sentences, words.replace("Sus píxeles", "")]
    assert [found for text in said for found in FORMAL.findall(text)] == []


def test_both_languages_say_the_same() -> None:
    """The same values stand in both, and a plural where one has a plural."""
    texts = [
        dict(re.findall(r"^  (\w+): \"(.*)\",$", (ROOT / "web/src/words" / name).read_text("utf8"), re.M))
        for name in ("en.ts", "es.ts")
    ]
    english, spanish = texts
    assert english.keys() == spanish.keys()
    assert len(english) > 100
    for name, text in english.items():
        other = spanish[name]
        assert text.count("|") == other.count("|"), name
        assert set(re.findall(r"\{\w+\}", text)) == set(re.findall(r"\{\w+\}", other)), name
