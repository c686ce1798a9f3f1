"""The calls by grpcurl, or the health by grpc_health_probe: `python -m tests.foreign.commands KIND PATH`."""

import base64
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

ADDRESS = os.environ["FOREIGN_ADDRESS"]
CERTS = os.environ["FOREIGN_CERTS"]
USUARIO = "user.UsuarioServicio"
UPLOADS = "conexiones.v1.UploadService"
IMAGES = "conexiones.v1.ImageService"


class Refused(Exception):
    """The call failed. The text is the status as JSON."""


def grpcurl(
    program: str, method: str, *messages: dict[str, Any], options: tuple[str, ...] = ()
) -> Iterator[Any]:
    """Calls by reflection, with messages in JSON. Gives the replies. Raises Refused."""
    tls = [f"-cacert={CERTS}/ca.pem", f"-cert={CERTS}/client.pem", f"-key={CERTS}/client.key"]
    flags = [*(tls if CERTS else ["-plaintext"]), "-format-error", f"-max-msg-sz={8 << 20}", *options]
    done = subprocess.run(
        [program, *flags, "-d", "@", ADDRESS, method],
        input="\n".join(map(json.dumps, messages)),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Refused(done.stderr)
    decoder, at, text = json.JSONDecoder(), 0, done.stdout
    while at < len(text.rstrip()):
        reply, at = decoder.raw_decode(text, at)
        yield reply
        at += len(text[at:]) - len(text[at:].lstrip())


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def described(reply: dict[str, Any]) -> str:
    image = reply["imageInfo"]
    return f"{image['format']} {image['width']}x{image['height']} {image['sizeBytes']}"


class Calls:
    def __init__(self, program: str) -> None:
        self._program = program
        self._photo = Path(os.environ["FOREIGN_PHOTO"]).read_bytes()
        self._stored: dict[str, Any] = {}

    def _call(self, method: str, *messages: dict[str, Any], options: tuple[str, ...] = ()) -> list[Any]:
        return list(grpcurl(self._program, method, *messages, options=options))

    def get_user(self) -> str:
        [reply] = self._call(f"{USUARIO}/GetUser", {"name": "Zoé", "pow": 3})
        return str(reply["message"])

    def process(self) -> str:
        [reply] = self._call(f"{USUARIO}/ProcessImage", {"image": encoded(self._photo)})
        return described(reply)

    def streamed(self) -> str:
        step = 4 << 10
        photo = self._photo
        parts = [{"image": encoded(photo[at : at + step])} for at in range(0, len(photo), step)]
        [reply] = self._call(f"{USUARIO}/GetStreamImage", *parts)
        return described(reply)

    def image_stream(self) -> str:
        images = [{"image": encoded(image)} for image in (self._photo, b"no image", self._photo)]
        replies = self._call(f"{USUARIO}/ImageStreamReply", *images)
        return ", ".join(
            reply["imageInfo"]["format"] if "imageInfo" in reply else reply["error"]["reason"]
            for reply in replies
        )

    def user_stream(self) -> str:
        users = [{"name": "Iñaki", "pow": pow, "image": encoded(self._photo)} for pow in (7, 65536)]
        found = []
        for reply in self._call(f"{USUARIO}/GetUserBidiStream", *users):
            reasons = [error["reason"] for error in reply.get("errors", ())]
            preview = base64.b64decode(reply["image"]).startswith(b"\xff\xd8\xff")
            found.append(" ".join([str(reply.get("pow", 0)), *reasons, *(["preview"] if preview else [])]))
        return ", ".join(found)

    def refused(self) -> str:
        return self._refusal(f"{USUARIO}/GetUser", {})

    def too_large(self) -> str:
        [limits] = self._call(f"{UPLOADS}/GetLimits", {})
        image = bytes(int(limits["maxMessageBytes"]))
        return self._refusal(f"{USUARIO}/ProcessImage", {"image": encoded(image)})

    def rejected(self) -> str:
        """Uploads what is no image, and reads why it is none from the outcome."""
        [created] = self._call(f"{UPLOADS}/CreateUpload", {"requestId": str(uuid4())})
        id, data = created["upload"]["id"], b"no image"
        with suppress(Refused):  # it may be refused already
            self._call(f"{UPLOADS}/WriteChunk", {"uploadId": id, "data": encoded(data)})
        [finished] = self._call(f"{UPLOADS}/FinishUpload", {"id": id, "sizeBytes": len(data)})
        return f"{finished['upload']['state']} {finished['upload']['failure']['reason']}"

    def _refusal(self, method: str, message: dict[str, Any]) -> str:
        try:
            self._call(method, message)
        except Refused as error:
            status = json.loads(str(error))
            details = {detail["@type"].rpartition("/")[2]: detail for detail in status["details"]}
            found = [str(status["code"]), details["google.rpc.ErrorInfo"]["reason"]]
            if bad := details.get("google.rpc.BadRequest"):
                found.append(bad["fieldViolations"][0]["field"])
            return " ".join(found)
        return "not refused"

    def late(self) -> object:
        try:
            self._call(f"{IMAGES}/WatchImages", {}, options=("-max-time=0.3",))
        except Refused as error:
            return json.loads(str(error))["code"]
        return "not ended"

    def large(self) -> str:
        image = Path(os.environ["FOREIGN_LARGE"]).read_bytes()
        [reply] = self._call(f"{USUARIO}/ProcessImage", {"image": encoded(image)})
        self._stored = reply["imageInfo"]
        return described(reply)

    def download(self) -> str:
        digest = hashlib.sha256()
        for frame in self._call(f"{IMAGES}/DownloadImage", {"id": self._stored["id"]}):
            digest.update(base64.b64decode(frame["data"]))
        return digest.hexdigest()

    def health(self) -> str:
        [reply] = self._call("grpc.health.v1.Health/Check", {})
        return str(reply["status"])


def say(case: str, see: Callable[[], object]) -> None:
    try:
        found = see()
    except Exception as error:  # whatever it is, it is what this case saw
        found = f"failed: {error!r}"
    print(case, str(found).replace("\n", " "), sep="\t", flush=True)


def probe(program: str) -> str:
    tls = ["-tls", f"-tls-ca-cert={CERTS}/ca.pem"]
    tls += [f"-tls-client-cert={CERTS}/client.pem", f"-tls-client-key={CERTS}/client.key"]
    command = [program, f"-addr={ADDRESS}", *(tls if CERTS else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stderr.removeprefix("status: ").strip() if done.returncode == 0 else f"failed: {done.stderr}"


def main(kind: str, program: str) -> None:
    if kind == "probe":
        say("health", lambda: probe(program))
        return
    calls = Calls(program)
    say("GetUser", calls.get_user)
    say("ProcessImage", calls.process)
    say("GetStreamImage", calls.streamed)
    say("ImageStreamReply", calls.image_stream)
    say("GetUserBidiStream", calls.user_stream)
    say("error", calls.refused)
    say("too large", calls.too_large)
    say("rejected", calls.rejected)
    say("deadline", calls.late)
    say("large", calls.large)
    say("download", calls.download)
    say("health", calls.health)


if __name__ == "__main__":
    main(*sys.argv[1:])
