"""Follows the steps of Dockerfile where no container engine is at hand, and runs what comes out as
compose.yaml says: not as root, without capabilities, and with a file system that is read-only. Needs root and
debootstrap.

Packages come from the mirror that apt has on this machine; the settings of pip and the certificates are this
machine's, too.
"""

import ctypes
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from fresh import ROOT, SETTINGS, Failed, copy_settings, make_minimal, quietly

SECONDS = 120.0
"""How long the server may take until it is healthy."""

INSIDE = """
set -e
mount -t proc proc "$1/proc"; mount --rbind /dev "$1/dev"
exec chroot "$1" /bin/sh -c "cd '$2' && $3"
"""
"""A step of RUN: the first process of a system of its own, which ends with it."""

CONFINED = """
set -e
root=$1 user=$2; shift 2
mount --make-rprivate /; mount --bind "$root" "$root"; mount --bind "$root/data" "$root/data"
mount -t proc proc "$root/proc"; mount -t tmpfs tmpfs "$root/tmp"; mount -t tmpfs tmpfs "$root/dev/shm"
for name in null zero random urandom; do mount --bind "/dev/$name" "$root/dev/$name"; done
mount -o remount,ro,bind "$root"
exec chroot "$root" setpriv --reuid="$user" --regid="$user" --clear-groups --bounding-set=-all \
    --inh-caps=-all --no-new-privs "$@"
"""


@dataclass(slots=True)
class Stage:
    """A FROM and what follows it. `folder` is its file system."""

    folder: Path
    workdir: str = "/"
    user: str = "root"
    environ: dict[str, str] = field(default_factory=dict)
    commands: dict[str, list[str]] = field(default_factory=dict)
    stop_signal: str = ""


def steps() -> list[tuple[str, str]]:
    """The instructions of Dockerfile, each with its arguments."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in lines if line)]


def build(base: Path, work: Path) -> Stage:
    """All stages, one after the other; gives the last one. Raises Failed."""
    stages: dict[str, Stage] = {}
    stage = Stage(work)
    for name, rest in steps():
        print(f"{name} {rest}", flush=True)
        if name == "FROM":
            image, _, alias = rest.partition(" AS ")
            if image != "debian:trixie-slim":
                raise Failed(f"{image} is not what was made here.")
            stage = stages[alias] = Stage(work / (alias or "last"))
            quietly("cp", "-a", str(base), str(stage.folder))
        elif name == "RUN":
            inside(stage, rest)
        elif name == "COPY":
            copy(stage, rest, stages)
        else:
            note(stage, name, rest)
    return stage


def note(stage: Stage, name: str, rest: str) -> None:
    """An instruction that changes no file."""
    if name == "WORKDIR":
        stage.workdir = rest
        (stage.folder / rest.lstrip("/")).mkdir(parents=True, exist_ok=True)
    elif name == "ENV":
        stage.environ |= dict(pair.split("=", 1) for pair in rest.split())
    elif name == "USER":
        stage.user = rest
    elif name == "STOPSIGNAL":
        stage.stop_signal = rest.removeprefix("SIG")
    elif name in ("ENTRYPOINT", "CMD"):
        stage.commands[name] = json.loads(rest)
    elif name == "HEALTHCHECK":
        stage.commands[name] = json.loads(rest.partition("CMD ")[2])
    elif name not in ("VOLUME", "EXPOSE"):
        raise Failed(f"{name} is not known here.")


def inside(stage: Stage, line: str) -> None:
    passed = {name: value for name, value in os.environ.items() if SETTINGS.fullmatch(name)}
    passed |= {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", **stage.environ}
    environ = [f"{name}={value}" for name, value in passed.items()]
    command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "env", "-i", *environ]
    quietly(*command, "bash", "-c", INSIDE, "-", str(stage.folder), stage.workdir, line)


def copy(stage: Stage, rest: str, stages: dict[str, Stage]) -> None:
    *sources, target = rest.split()
    source = ROOT
    if sources[0].startswith("--from="):
        source = stages[sources.pop(0).removeprefix("--from=")].folder
    there = stage.folder / os.path.join(stage.workdir, target).lstrip("/")  # noqa: PTH118
    for name in sources:
        found = source / name.lstrip("/")
        if found.is_dir():
            shutil.copytree(found, there, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            (there if target.endswith("/") else there.parent).mkdir(parents=True, exist_ok=True)
            shutil.copy(found, there)


def try_out(stage: Stage) -> None:
    """Starts the last stage, sends it an image, asks its health, and stops it. Raises Failed."""
    alone()
    environ = ["env", "-i", *(f"{name}={value}" for name, value in stage.environ.items())]
    insecure = "CONEXIONES_INSECURE=true"
    user = re.search(rf"^{stage.user}:x:(\d+):", (stage.folder / "etc/passwd").read_text(), re.MULTILINE)
    if not user or user[1] == "0":
        raise Failed("It does not have a user of its own.")
    confined = [
        "unshare",
        "--mount",
        "--pid",
        "--fork",
        "bash",
        "-c",
        CONFINED,
        "-",
        str(stage.folder),
        user[1],
    ]
    command = [*confined, *environ, insecure, *stage.commands["ENTRYPOINT"], *stage.commands["CMD"]]
    healthy = [*confined, *environ, *stage.commands["HEALTHCHECK"]]
    with subprocess.Popen(command) as server:
        try:
            end = time.monotonic() + SECONDS
            while subprocess.run(healthy, capture_output=True, check=False).stdout != b"SERVING\n":
                if time.monotonic() > end or server.poll() is not None:
                    raise Failed("It never was healthy.")
                time.sleep(1)
            token = (stage.folder / "data/admin-token").read_text().strip()
            said = subprocess.run(
                [sys.executable, "-m", "conexiones", "put", str(ROOT / "client/image/elephant.jpg")],
                env={**os.environ, "CONEXIONES_ADDRESS": "127.0.0.1:50051", "CONEXIONES_TOKEN": token},
                capture_output=True,
                text=True,
                check=True,
            )
            print(said.stdout, end="", flush=True)
            children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
            subprocess.run(["kill", f"-{stage.stop_signal}", children[0]], check=True)
            status = server.wait(60)
        finally:
            server.kill()
    if status:
        raise Failed(f"It ended with status {status}.")


def alone() -> None:
    """Gives this process and those that it starts a network of their own, where no port is taken."""
    new_network = 0x40000000
    if ctypes.CDLL(None, use_errno=True).unshare(new_network):
        raise Failed(os.strerror(ctypes.get_errno()))
    quietly("ip", "link", "set", "lo", "up")


def main() -> int:
    if os.geteuid() or not shutil.which("debootstrap"):
        print("This needs root and debootstrap: apt install debootstrap", file=sys.stderr)
        return 1
    folder = Path(tempfile.mkdtemp(prefix="conexiones-container-"))
    try:
        folder.chmod(0o755)
        make_minimal(folder / "base", "trixie")
        copy_settings(folder / "base", Path("/root"))
        stage = build(folder / "base", folder)
        size = subprocess.run(["du", "-sm", stage.folder], capture_output=True, text=True, check=True)
        print(f"{size.stdout.split()[0]} MB", flush=True)
        try_out(stage)
    except Failed as error:
        print(f"container: {error}", file=sys.stderr)
        return 1
    finally:
        subprocess.run(["rm", "-rf", "--one-file-system", folder], check=True)
    print("It serves as Dockerfile and compose.yaml say.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
