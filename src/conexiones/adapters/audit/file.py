"""The files of the audit log and of the access log."""

from pathlib import Path

from conexiones.adapters.audit.lines import access_line, line
from conexiones.adapters.system.line_file import LineFile
from conexiones.ports.audit import AccessEntry, AuditEntry


class AuditFile(LineFile):
    """An AuditLog."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "audit log")

    def write(self, entry: AuditEntry) -> None:
        self.append(line(entry))


class AccessFile(LineFile):
    """An AccessLog, as "json" or "text"; the path "-" is standard output."""

    def __init__(self, path: Path, *, form: str) -> None:
        super().__init__(path, "access log")
        self._form = form

    def write(self, entry: AccessEntry) -> None:
        if self.full:
            self.lose()
        else:
            self.append(access_line(entry, form=self._form))
