"""What the last lesson tells to install: settings that exist, and credentials that the service gets."""

import re
import shlex

from conexiones.settings import table, variable
from tests.learn.tools import learn_programs
from tests.support.paths import ROOT

FOLDER = learn_programs.PROGRAMS / "13"
SETTINGS = dict(line.split("=", 1) for line in (FOLDER / "conexiones.env").read_text().splitlines())


def test_its_settings_exist() -> None:
    assert set(SETTINGS) <= {variable(row) for row in table()}


def test_the_service_gets_the_certificate_and_its_key() -> None:
    given = dict(re.findall(r"^LoadCredential=(\S+):(\S+)$", (FOLDER / "tls.conf").read_text(), re.MULTILINE))
    for name in ("CONEXIONES_TLS_CERT", "CONEXIONES_TLS_KEY"):
        folder, _, file = SETTINGS[name].rpartition("/")
        assert folder == "/run/credentials/conexiones.service"
        assert given[file] == f"/etc/conexiones/{file}"
    operations = (ROOT / "docs" / "operations.md").read_text()
    assert all(f"LoadCredential={name}:{path}" in operations for name, path in given.items())


def test_the_files_that_it_installs_exist() -> None:
    words = shlex.split((FOLDER / "install.bash").read_text())
    files = [word for word in words if word.startswith(("deploy/", "docs/"))]
    assert len(files) == 3
    assert all((ROOT / file).is_file() for file in files)
