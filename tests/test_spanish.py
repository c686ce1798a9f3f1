"""Every rule that InvalidField states is stated in Spanish too."""

import ast
from collections.abc import Iterator

import pytest

from conexiones.errors import InvalidField
from conexiones.spanish import in_spanish
from tests.support.paths import ROOT

# The rules as they stand in the sources, with values to fill in, and their Spanish.
RULES = {
    "at most {} bytes of UTF-8 without control characters": (
        (255,),
        "como máximo 255 bytes de UTF-8 sin caracteres de control",
    ),
    "at most {} digests of {} bytes each": ((1000, 32), "como máximo 1000 resúmenes de 32 bytes cada uno"),
    "at least one byte": ((), "al menos un byte"),
    "no other owner than the caller's own": ((), "solo el propietario de quien llama"),
    "1 to 64 letters, digits, and any of . _ - @ /": (
        (),
        "de 1 a 64 letras, cifras y cualquiera de . _ - @ /",
    ),
    "any of {}, at least one": (("read, write",), "cualquiera de read, write, al menos uno"),
    "any of {}": (("JPEG, PNG",), "cualquiera de JPEG, PNG"),
    "more than 0 seconds": ((), "más de 0 segundos"),
    "0 seconds or more": ((), "0 segundos o más"),
    "1 to {} seconds": ((3600,), "de 1 a 3600 segundos"),
    "a time of the years 1 to 9999": ((), "una fecha de los años 1 a 9999"),
    "the id of an upload": ((), "el id de una subida"),
    "{}, each once": (("width, height",), "width, height, cada uno una vez"),
    "1 to {}": ((8,), "de 1 a 8"),
    "{} or {}": (("JPEG, PNG, WEBP", "AVIF"), "JPEG, PNG, WEBP o AVIF"),
    "0 or 1": ((), "0 o 1"),
    "0 or more": ((), "0 o más"),
    "the token of a page of the same list": ((), "el token de una página de la misma lista"),
    "the token of an event": ((), "el token de un evento"),
    "1 to {} characters": ((128,), "de 1 a 128 caracteres"),
    "0 to {} characters": ((128,), "de 0 a 128 caracteres"),
    "at least 1": ((), "al menos 1"),
    "less than 2 GiB": ((), "menos de 2 GiB"),
    "32 bytes, or none": ((), "32 bytes, o ninguno"),
    "1 to {} with the fit {}": ((8, "COVER"), "de 1 a 8 con fit COVER"),
    "false unless the format is WEBP": ((), "false si format no es WEBP"),
    "nothing with the format PNG": ((), "valores solo si format no es PNG"),
    "inside, cover or contain": ((), "inside, cover o contain"),
    "a whole number": ((), "un número entero"),
    "a SHA-256 of 32 bytes or 64 hexadecimal digits": (
        (),
        "un SHA-256 de 32 bytes o 64 dígitos hexadecimales",
    ),
    "jpeg, png, webp or avif": ((), "jpeg, png, webp o avif"),
}


def template(node: ast.expr) -> str | None:
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(template(part) or "{}" for part in parts)
        case ast.Call(func=ast.Name(id="_one_of")):
            return "{} or {}"  # the values of a table
    return None


def rules() -> Iterator[str]:
    """The arguments for `takes`, given to the error itself or to a function that passes them on."""
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name == "InvalidField":
                given = [word.value for word in node.keywords if word.arg == "takes"]
            elif name == "check" and path.name == "renditions.py":
                given = node.args[2:]
            else:
                continue
            yield from (text for one in given if (text := template(one)) is not None)


def test_these_are_all_rules() -> None:
    assert set(rules()) == RULES.keys()


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_in_spanish(rule: str) -> None:
    values, spanish = RULES[rule]
    error = InvalidField(field="x", takes=rule.format(*values))
    assert error.mensaje == f"`x` admite {spanish}."
    assert error.message == f"`x` takes {rule.format(*values)}."
    assert in_spanish(rule.format(*values)) == spanish
