"""Follows README.md literally in minimal Debian systems, as a newcomer would. Needs root and debootstrap.

    make fresh SUITES="bookworm trixie" USERS="root newcomer" ARGS="tests/tutorial"

Each run has a system of its own, which is made in a temporary folder and removed at the end. Its processes
are in namespaces that end with this program. `root` lets the two commands install what is missing. `newcomer`
has sudo, is told what to install, and then runs README's own line for it. Packages come from the mirror that
apt has on this machine; the settings of pip and npm and the certificates are this machine's, too.
"""

import argparse
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = subprocess.run(
    ["git", "show", "HEAD:README.md"], cwd=ROOT, capture_output=True, text=True, check=True
).stdout

TESTS = "tests/tools tests/tutorial tests/transport/rpc/test_browser_clients.py --numprocesses=2"
"""What `make test` runs there by default: a part with programs in Python, in Node.js and in a browser."""

SECONDS = 3600
"""How long a line may take."""

SETTINGS = re.compile(
    r"(PIP_(?!FIND_LINKS)\w+|npm_config_\w+|\w+_proxy|NODE_EXTRA_CA_CERTS|SSL_CERT_FILE)", re.IGNORECASE
)
"""Variables of this machine that say how pip, npm and curl reach their registries."""

FILES = ("etc/pip.conf", "root/.config/pip/pip.conf", "root/.npmrc")
"""Files that do so."""

MOUNTS = """
mount -t proc proc "$1/proc" && mount -t sysfs -o ro sysfs "$1/sys" && mount -t tmpfs tmpfs "$1/dev/shm" &&
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$1/dev/pts" && echo ready
read -r _
"""
"""The first process of a system, with which all others end. It buries orphans, and ends with this program."""


class Failed(Exception):
    """A line did something else than README.md says."""


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def mirror() -> tuple[str, list[str]]:
    """The address of Debian's packages that apt has on this machine, and its settings for proxies."""
    asked = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(ORIGIN) $(LABEL)"]
    lines = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.splitlines()
    found = [line.split(" ")[0] for line in lines if line.endswith(" Debian Debian")]
    if not found:
        raise Failed("apt knows no mirror of Debian here; run apt-get update first.")
    dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True).stdout
    return found[0], [line for line in dump.splitlines() if re.match(r"Acquire::https?::Proxy", line)]


def quietly(*command: str) -> None:
    """Runs a command, of which only a failure is told. Raises Failed."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise Failed(f"{shlex.join(command)}: status {done.returncode}\n{done.stdout}")


def make_minimal(folder: Path, suite: str, *how: str) -> None:
    """A minimal Debian that reaches the network like this machine. `how` are options of debootstrap."""
    address, proxies = mirror()
    quietly("debootstrap", "--variant=minbase", *how, suite, str(folder), address)
    (folder / "etc/apt/apt.conf.d/90proxies").write_text("\n".join([*proxies, ""]))
    for name in ("resolv.conf", "hosts"):
        shutil.copy(Path("/etc", name), folder / "etc" / name)
    authorities = Path("/usr/local/share/ca-certificates")
    if authorities.is_dir():
        shutil.copytree(authorities, folder / authorities.relative_to("/"), dirs_exist_ok=True)


def copy_settings(folder: Path, home: Path) -> None:
    """Gives whoever has that home there this machine's settings of pip and npm."""
    for name in FILES:
        if Path("/", name).is_file():
            there = folder / re.sub("^root", str(home.relative_to("/")), name)
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(Path("/", name), there)


class System:
    """A minimal Debian in `folder`, and the user who does all in a clone of this repository there."""

    def __init__(self, folder: Path, user: str) -> None:
        self.folder = folder
        self.home = Path("/root" if user == "root" else f"/home/{user}")
        self.clone = folder / self.home.relative_to("/") / "conexiones"
        self._user = user
        self._first = 0

    def make(self, suite: str, cache: Path) -> None:
        how = [f"--cache-dir={cache}"]
        if self._user != "root":
            how.append("--include=sudo")
        make_minimal(self.folder, suite, *how)
        # A newcomer says yes.
        self._write("etc/apt/apt.conf.d/91fresh", 'APT::Get::Assume-Yes "true";\n')
        if self._user != "root":
            quietly(
                "chroot", str(self.folder), "useradd", "--create-home", "--shell", "/bin/bash", self._user
            )
            self._write("etc/sudoers.d/fresh", f"{self._user} ALL=(ALL) NOPASSWD: ALL\n")
        copy_settings(self.folder, self.home)
        quietly("git", "clone", "--no-hardlinks", str(ROOT), str(self.clone))
        quietly("chroot", str(self.folder), "chown", "-R", f"{self._user}:", str(self.home))

    @contextmanager
    def running(self) -> Iterator[None]:
        command = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
        command += ["bash", "-c", MOUNTS, "-", str(self.folder)]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, start_new_session=True) as holder:
            try:
                if not holder.stdout or holder.stdout.readline() != "ready\n":
                    raise Failed("The namespaces of the system cannot be made.")
                children = Path(f"/proc/{holder.pid}/task/{holder.pid}/children").read_text().split()
                self._first = int(children[0])
                yield
            finally:
                holder.kill()

    def start(self, line: str) -> "Line":
        """Starts a line of a shell in a terminal of its own, in the clone."""
        passed = {name: value for name, value in os.environ.items() if SETTINGS.fullmatch(name)}
        passed |= {"HOME": str(self.home), "USER": self._user, "TERM": "dumb", "LANG": "C.UTF-8"}
        passed |= {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
        become = ["setpriv", f"--reuid={self._user}", f"--regid={self._user}", "--init-groups"]
        terminal = ["script", "--quiet", "--return", "--command", line, "/dev/null"]
        inside = f"cd {self.home}/conexiones && exec {shlex.join(become + terminal)}"
        enter = ["nsenter", f"--target={self._first}", "--mount", "--pid", "chroot", str(self.folder)]
        environ = [f"{name}={value}" for name, value in passed.items()]
        return Line(line, [*enter, "env", "-i", *environ, "bash", "-c", inside])

    def run(self, line: str, *, fails: bool = False) -> str:
        """Runs a line to its end, and gives what it printed. Raises Failed."""
        started = self.start(line)
        status = started.wait()
        if bool(status) != fails:
            raise Failed(f"{line}: status {status}")
        return started.printed

    def _write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)


class Line:
    """A line that runs. What it prints is shown at once, and kept."""

    def __init__(self, line: str, command: list[str]) -> None:
        print(f"$ {line}", flush=True)
        self.printed = ""
        self._line = line
        self._since = time.monotonic()
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        self._changed = threading.Condition()
        self._ended = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for part in self._process.stdout or ():
            text = part.decode(errors="replace").replace("\r\n", "\n")
            print(f"  {text}", end="", flush=True)
            with self._changed:
                self.printed += text
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def wait_for(self, text: str) -> None:
        """Waits until it has printed the text. Raises Failed if it ends before."""
        with self._changed:
            self._changed.wait_for(lambda: text in self.printed or self._ended, SECONDS)
        if text not in self.printed:
            raise Failed(f"{self._line}: it never printed {text!r}")
        print(f"  … {time.monotonic() - self._since:.0f} s", flush=True)

    def interrupt(self) -> None:
        """Types Ctrl-C."""
        assert self._process.stdin
        self._process.stdin.write(b"\x03")
        self._process.stdin.flush()

    def wait(self) -> int:
        self._reader.join(SECONDS)
        if self._reader.is_alive():
            raise Failed(f"{self._line}: not ended after {SECONDS} s")
        status = self._process.wait()
        print(f"  … {time.monotonic() - self._since:.0f} s, status {status}", flush=True)
        return status


def walk(system: System, user: str, tests: str) -> None:
    """README.md from its first line to the end of the tour."""
    install, [demo, test], *tour = (block.splitlines() for block in blocks("sh"))
    if user == "root":
        # The rest is for the two commands.
        system.run("apt update && apt install git make curl")
    else:
        system.run("sudo apt update && sudo apt install git make")
        refuse(system, demo)
        system.run(" && ".join(install))
    system.run("make")
    try_demo(system, demo, [line for lines in tour for line in lines])
    tested = system.run(f"{test} ARGS={shlex.quote(tests)}")
    if user == "root" and (skipped := re.findall(r"^SKIPPED.* is missing: .*", tested, re.MULTILINE)):
        raise Failed("\n".join(["Tests lack programs:", *skipped]))


def refuse(system: System, demo: str) -> None:
    """Where Python is missing, a user who is not root is told so in one line before anything is set up."""
    refused = system.run(demo, fails=True).splitlines()
    if "sudo apt install" not in refused[0] or len(refused) > 2:  # make says that it failed
        raise Failed("What is missing is not said in one line.")
    if (system.clone / ".venv").exists():
        raise Failed("Something was set up before what is missing was said.")


def try_demo(system: System, demo: str, tour: list[str]) -> None:
    """The lines of the tour and the program in Python while the demo runs, and the demo's end."""
    server = system.start(demo)
    server.wait_for("Ctrl-C ends it.")
    for line in tour:
        system.run(line)
    for program in blocks("python"):
        system.run(f".venv/bin/python -c {shlex.quote(program)}")
    before = len(server.printed)
    server.interrupt()
    if server.wait() not in (0, 128 + signal.SIGINT):
        raise Failed("The demo does not end as Ctrl-C asks.")
    if re.search(r"warn|error|ENVOY|Traceback", server.printed[before:], re.IGNORECASE):
        raise Failed("The demo ends with a warning.")


def fresh(suite: str, user: str, tests: str, cache: Path) -> None:
    print(f"\n── {suite}, as {user} ──", flush=True)
    since = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix=f"conexiones-{suite}-"))
    try:
        folder.chmod(0o755)
        system = System(folder, user)
        system.make(suite, cache)
        print(f"  (the system was made in {time.monotonic() - since:.0f} s)", flush=True)
        with system.running():
            walk(system, user, tests)
    finally:
        subprocess.run(["rm", "-rf", "--one-file-system", folder], check=True)
    print(f"── {suite}, as {user}: all as README.md says, in {time.monotonic() - since:.0f} s ──", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--suites", nargs="+", default=["bookworm", "trixie"], help="releases of Debian")
    parser.add_argument("--users", nargs="+", default=["root", "newcomer"])
    parser.add_argument("--tests", default=TESTS, help="the ARGS of make test")
    given = parser.parse_args()
    if os.geteuid() or not shutil.which("debootstrap"):
        print("This needs root and debootstrap: apt install debootstrap", file=sys.stderr)
        return 1
    # A shell starts background jobs with SIGINT ignored, and the demo would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):  # like Ctrl-C, they let the systems be removed
        signal.signal(number, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory(prefix="conexiones-debs-") as cache:
        try:
            for suite in given.suites:
                for user in given.users:
                    fresh(suite, user, given.tests, Path(cache))
        except Failed as error:
            print(f"fresh: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
