"""Writes into the lessons of docs/learn and docs/aprende the programs and what they print, and makes pages.

python tools/learn.py            writes lessons and pages
python tools/learn.py --check    prints what is out of date, and exits with status 1 if anything is
python tools/learn.py --record   first runs all programs against a server, and keeps what they print

A lesson has places between `<!-- KIND WHAT -->` and `<!-- end -->`, which this program fills; what one writes
there by hand is lost.
"""

import re
import sys
import tempfile
from pathlib import Path

import learn_pages
from learn_programs import PROGRAMS, ROOT, comparable, fresh, lessons, programs, recorded, run

WORDS = {
    "learn": {
        "run": "Run it in Python, then in Node.js:",
        "either": "Run it in Python or in Node.js:",
        "sh": "Run it:",
        "serve": "In one more terminal, prepared like the second, start another server; leave it running:",
        "both": "Both print:",
        "sh output": "It prints:",
        ".py": "Python prints:",
        ".js": "Node.js prints:",
        "solution": "Solution",
        "folded": "Show the program",
        "index": "All lessons",
        "other": "Español",
        "start": "Change",
        "edit": "Change",
        "try": "Then run",
        "or": "or",
        "as": "As it is,",
        "says": "it says:",
        "wire": "The command line can show what goes over the wire. Here is the request as it saw it:",
        "diagram": "Who sends what, and when, in a recorded call:",
    },
    "aprende": {
        "run": "Ejecútalo en Python y luego en Node.js:",
        "either": "Ejecútalo en Python o en Node.js:",
        "sh": "Ejecuta esto:",
        "serve": "En otra terminal más, preparada como la segunda, arranca otro servidor y déjalo en marcha:",
        "both": "Los dos imprimen:",
        "sh output": "Imprime:",
        ".py": "Python imprime:",
        ".js": "Node.js imprime:",
        "solution": "Solución",
        "folded": "Ver el programa",
        "index": "Todas las lecciones",
        "other": "English",
        "start": "Cambia",
        "edit": "Cambia",
        "try": "Después ejecuta",
        "or": "o",
        "as": "Tal como está,",
        "says": "dice:",
        "wire": "La línea de comandos puede mostrar lo que viaja por la red. Así vio la petición:",
        "diagram": "Quién envía qué y cuándo, en una llamada grabada:",
    },
}
OTHER = {"learn": "aprende", "aprende": "learn"}
NAMES = {".py": "Python", ".js": "Node.js", ".sh": "Shell", ".proto": "Protobuf"}
FENCES = {
    ".py": "python",
    ".js": "js",
    ".cjs": "js",
    ".sh": "sh",
    ".proto": "proto",
    ".bash": "sh",
    ".env": "ini",
    ".prom": "",
    ".conf": "ini",
}
COMMANDS = {".py": "python", ".js": "node", ".sh": "sh"}
PLACE = re.compile(r"<!-- (?P<kind>[a-z]+)(?P<what>(?: \S+)?) -->\n.*?<!-- end -->", re.DOTALL)


def pages(course: str) -> list[Path]:
    """The lessons of a course, in order."""
    return sorted((ROOT / "docs" / course).glob("[0-9][0-9]-*.md"))


def title(page: Path) -> str:
    return page.read_text().partition("\n")[0].removeprefix("# ")


def filled(page: Path) -> str:
    """The text of a page with its places filled."""
    course = page.parent.name

    def fill(place: re.Match[str]) -> str:
        kind, what = place["kind"], place["what"].strip()
        text = PLACES[kind](what, page, WORDS[course])
        return f"<!-- {kind}{place['what']} -->\n\n{text}\n\n<!-- end -->"

    return PLACE.sub(fill, page.read_text())


def fence(language: str, text: str) -> str:
    return f"```{language}\n{text.rstrip()}\n```"


def versions(what: str) -> list[Path]:
    """The same program in its languages."""
    found = [PROGRAMS / f"{what}{suffix}" for suffix in NAMES if (PROGRAMS / f"{what}{suffix}").exists()]
    if not found:
        raise FileNotFoundError(f"there is no program {what}")
    return found


def shown(path: Path, page: Path) -> str:
    """A link to a program."""
    up = "" if page.parent.name == "learn" else "../learn/"
    name = path.relative_to(ROOT)
    return f"[`{name}`]({up}{path.relative_to(PROGRAMS.parent)})"


def program(what: str, page: Path, words: dict[str, str]) -> str:
    return "\n\n".join(
        f"{NAMES[path.suffix]}, {shown(path, page)}:\n\n{fence(FENCES[path.suffix], path.read_text())}"
        for path in versions(what)
        if path.suffix in COMMANDS
    )


def folded(what: str, page: Path, words: dict[str, str]) -> str:
    """A program that a learner may read later."""
    return details(words["folded"], program(what, page, words))


def details(summary: str, *inside: str) -> str:
    return "\n\n".join([f"<details><summary>{summary}</summary>", *inside, "</details>"])


def either(what: str, page: Path, words: dict[str, str]) -> str:
    """The commands of a program that is to be run in one of the languages."""
    return ran(what, page, words | {"run": words["either"]})


def ran(what: str, page: Path, words: dict[str, str]) -> str:
    """The commands, and what they print."""
    found = [path for path in versions(what) if path.suffix in COMMANDS]
    shell = found[0].suffix == ".sh"
    commands = [
        path.read_text().rstrip() if shell else f"{COMMANDS[path.suffix]} {path.relative_to(ROOT)}"
        for path in found
    ]
    head = f"{words['sh' if shell else 'run']}\n\n{fence('sh', chr(10).join(commands))}"
    return f"{head}\n\n{outputs(found, words)}"


def served(what: str, page: Path, words: dict[str, str]) -> str:
    """The commands that start a server, which runs on; what it prints is not shown."""
    return f"{words['serve']}\n\n{fence('sh', (PROGRAMS / f'{what}.sh').read_text())}"


def outputs(found: list[Path], words: dict[str, str]) -> str:
    if not recorded(found[0]).name.endswith(found[0].suffix + ".txt"):
        label = words["sh output" if found[0].suffix == ".sh" else "both"]
        return f"{label}\n\n{fence('', recorded(found[0]).read_text())}"
    return "\n\n".join(f"{words[path.suffix]}\n\n{fence('', recorded(path).read_text())}" for path in found)


def exercise(what: str, page: Path, words: dict[str, str]) -> str:
    """Where the learner begins."""
    found = versions(what)
    links = f" {words['or']} ".join(shown(path, page) for path in found)
    contract = PROGRAMS / f"{what.replace('-', '_')}.proto"
    edited = f"{words['edit']} {shown(contract, page)}. " if contract.exists() else ""
    start = words["try" if edited else "start"]
    labels = {"both": f"{words['as']} {words['says']}", ".py": f"{words['as']} {words['.py']}"}
    return f"{edited}{start} {links}. {outputs(found, words | labels)}"


def solution(what: str, page: Path, words: dict[str, str]) -> str:
    inside = [program(what, page, words), outputs(versions(what), words)]
    contract = f"{what.replace('-', '_')}.proto"  # a hyphen would be no name of a module in Python
    if (PROGRAMS / contract).exists():
        inside.insert(0, file(contract, page, words))
    return details(words["solution"], *inside)


def top(what: str, page: Path, words: dict[str, str]) -> str:
    """The link to the page in the other language."""
    course = page.parent.name
    if page.name == "README.md":
        target = f"../{OTHER[course]}/README.md"
    else:
        target = f"../{OTHER[course]}/{pages(OTHER[course])[pages(course).index(page)].name}"
    return f"[{words['other']}]({target})"


def navigation(what: str, page: Path, words: dict[str, str]) -> str:
    """Links to the lesson before, to all, and to the next."""
    order = pages(page.parent.name)
    place = order.index(page)
    before, after = order[place - 1 : place], order[place + 1 : place + 2]
    return " · ".join(
        [
            *(f"[← {title(one)}]({one.name})" for one in before),
            f"[{words['index']}](README.md)",
            *(f"[{title(one)} →]({one.name})" for one in after),
        ]
    )


def contents(what: str, page: Path, words: dict[str, str]) -> str:
    """The lessons of the course, with the sentence that each begins with."""
    lines = []
    for lesson in pages(page.parent.name):
        summary = lesson.read_text().partition("<!-- end -->\n")[2].strip().partition("\n\n")[0]
        lines.append(f"- [{title(lesson)}]({lesson.name}): {' '.join(summary.split())}")
    return "\n".join(lines)


def file(what: str, page: Path, words: dict[str, str]) -> str:
    path = PROGRAMS / what
    language = FENCES.get(path.suffix, path.suffix[1:])
    return f"{shown(path, page)}:\n\n{fence(language, path.read_text())}"


def wire(what: str, page: Path, words: dict[str, str]) -> str:
    """What --wire shows of a call; nothing before it was recorded."""
    if not recorded(PROGRAMS / f"{what}.sh").exists():
        return ""
    return f"{words['wire']}\n\n{ran(what, page, words)}"


def diagram(name: str, page: Path, words: dict[str, str]) -> str:
    """A diagram of a call, made from a recording; nothing where there is none."""
    language = ".es" if page.parent.name == "aprende" else ""
    path = PROGRAMS.parent / "diagrams" / f"{name}{language}.svg"
    if not path.exists():
        return ""
    up = "" if page.parent.name == "learn" else "../learn/"
    return f"![{words['diagram']} {name}]({up}diagrams/{path.name})"


PLACES = {
    "diagram": diagram,
    "either": either,
    "contents": contents,
    "exercise": exercise,
    "file": file,
    "folded": folded,
    "nav": navigation,
    "program": program,
    "run": ran,
    "serve": served,
    "solution": solution,
    "top": top,
    "wire": wire,
}


def record() -> None:
    """Runs all programs against a server, and keeps what they print where it has changed."""
    from conexiones.testing import serve

    with tempfile.TemporaryDirectory() as name, serve() as server:
        folder = Path(name)
        fresh(folder, server.address)
        for lesson in lessons():
            found = run(folder, server.address, programs(lesson))
            for stem in dict.fromkeys(path.stem for path in found):
                same = {path: done.text for path, done in found.items() if path.stem == stem}
                keep(PROGRAMS / lesson / stem, same)


def keep(program: Path, texts: dict[Path, str]) -> None:
    """Writes what the versions of one program printed: into one file if it is the same."""
    one = len({comparable(text, measured=False) for text in texts.values()}) == 1
    common = Path(f"{program}.txt")
    for path, text in texts.items():
        own = path.with_name(f"{path.name}.txt")
        target, other = (common, own) if one else (own, common)
        other.unlink(missing_ok=True)
        if not target.exists() or comparable(target.read_text()) != comparable(text):
            target.write_text(text.rstrip() + "\n")
            print(f"recorded {target.relative_to(ROOT)}")


def main() -> int:
    if "--record" in sys.argv:
        record()
    check = "--check" in sys.argv
    stale = []
    for course in WORDS:
        for page in [*pages(course), ROOT / "docs" / course / "README.md"]:
            text = filled(page)
            if text != page.read_text():
                stale.append(str(page.relative_to(ROOT)))
                if not check:
                    page.write_text(text)
    stale += learn_pages.write(check=check)
    if stale and check:
        print("The course is out of date; run `make generate`:", *stale)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
