"""A server whose handlers fail in every way: the name in the request says how.

`python faulty.py` supervises it, with the settings in the environment; Envoy loads `app` from here.
"""

import asyncio
import sys
from typing import Any

import conexiones.app
from conexiones.domain.users import Users
from conexiones.principals import Principal
from conexiones.settings import Settings

SECRET = "the secret of /etc/shadow"


class FaultyUsers(Users):
    async def register(self, name: str, *, pow: int, image: bytes | memoryview, by: Principal) -> Any:
        match name:
            case "SystemExit":
                sys.exit(SECRET)
            case "KeyboardInterrupt":
                raise KeyboardInterrupt(SECRET)
            case "RuntimeError":
                raise RuntimeError(SECRET)
            case "TimeoutError":
                raise TimeoutError(SECRET)
            case "OSError":
                raise OSError(5, SECRET, "/etc/shadow")
            case "GeneratorExit":
                raise GeneratorExit(SECRET)
            case "CancelledError":
                raise asyncio.CancelledError(SECRET)
        return await super().register(name, pow=pow, image=image, by=by)


conexiones.app.Users = FaultyUsers  # type: ignore[attr-defined]  # not a name that it exports
app = conexiones.app.build(Settings.load())

if __name__ == "__main__":
    from tests.transport.application import supervise

    sys.exit(supervise("tests.transport.chain.faulty:app"))
