"""Translates into Spanish the facts that are words, for the Spanish sentences of errors/. Facts are in
English."""

import re

# Patterns and their translations, applied in this order. Names of fields and values are not translated.
_WORDS = {
    r"^the id of an upload$": "el id de una subida",
    r"^the token of a page of the same list$": "el token de una página de la misma lista",
    r"^the token of an event$": "el token de un evento",
    r"^a time of the years 1 to 9999$": "una fecha de los años 1 a 9999",
    r"^at most (\d+) bytes of UTF-8 without control characters$": r"como máximo \1 bytes de UTF-8"
    " sin caracteres de control",
    r"^at most (\d+) digests of (\d+) bytes each$": r"como máximo \1 resúmenes de \2 bytes cada uno",
    r"^at least one byte$": "al menos un byte",
    r"^no other owner than the caller's own$": "solo el propietario de quien llama",
    r" letters, digits, and any of (.+)$": r" letras, cifras y cualquiera de \1",
    r"^any of (.+), at least one$": r"cualquiera de \1, al menos uno",
    r"^any of ": "cualquiera de ",
    r"^more than (\d+) seconds$": r"más de \1 segundos",
    r" seconds or more$": " segundos o más",
    r" seconds$": " segundos",
    r"^at least (\d+)$": r"al menos \1",
    r"^less than (\d+ GiB)$": r"menos de \1",
    r"^(-?\d+) to (-?\d+)\b": r"de \1 a \2",
    r"^text in UTF-8$": "texto en UTF-8",
    r"^a SHA-256 of 32 bytes or 64 hexadecimal digits$": "un SHA-256 de 32 bytes o 64 dígitos hexadecimales",
    r"^a whole number$": "un número entero",
    r"^another type$": "otro tipo",
    r" characters$": " caracteres",
    r", or none$": ", o ninguno",
    r" or more$": " o más",
    r", each once$": ", cada uno una vez",
    r" with the fit ": " con fit ",
    r"^false unless the format is ": "false si format no es ",
    r"^nothing with the format (\w+)$": r"valores solo si format no es \1",
    r" or (\w+)$": r" o \1",
}


def in_spanish(takes: str) -> str:
    """The Spanish of the fact `takes` of InvalidField, which says what a field takes."""
    for english, spanish in _WORDS.items():
        takes = re.sub(english, spanish, takes)
    return takes
