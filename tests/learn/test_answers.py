"""Answers to exercises other than the solutions: right ones are taken, and wrong ones are refused."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from conexiones.testing import Server
from tests.learn.tools import learn_programs
from tests.support.clients import node
from tests.support.lengths import brief


@dataclass(frozen=True, slots=True)
class Answer:
    """What a learner writes in place of a part of the program, or of the contract that it reads."""

    exercise: str
    right: bool
    old: str
    new: str
    proto: str = ""
    suffix: str = ".py"


REPLY = "message GetUserReply {\n  string message = 1;\n"
USER = "message User {\n  int64 pow_squared = 3;\n}\n\n"
POW = "  int32 pow = 2;\n  bytes image = 3;\n"
SERVER = "grpc.server(ThreadPoolExecutor())"
ATTEMPT = "    return attempt(stub, name)\n"
GALA = """            print(reply.name)
            proxy.passing = lambda data, to_server: b""
"""
GALA_JS = """      console.log(reply.name);
      proxy.passing = () => "";
"""
FRAGMENT = "        yield user_pb2.GetImage(image=image[start : start + 4096])\n"
MARK = """        if start // 79_412 < min(start + 4096, len(image)) // 79_412 or start + 4096 >= len(image):
            shown.append(25 * len(shown) + 25)
"""
FRAGMENT_JS = "  send({ image: image.subarray(start, start + 4096) });\n"
MARK_JS = """
  while (shown.length < 4 && (start + 4096) * 4 >= image.length * (shown.length + 1)) {
    shown.push(25 * shown.length + 25);
  }
"""
TWICE = "    uploads = {begin(stub), begin(stub)}\n"
TWICE_JS = "new Set([await begin(), await begin()])"
VISITS = "        list_images(images)\n        list_images(images)\n"
OTHER_VISITS = """        list_images(images)
    with connected("?") as visitor:
        list_images(images_pb2_grpc.ImageServiceStub(visitor))
"""
VISITS_JS = "  await listImages(secret);\n  await listImages(secret);\n"
NOTE = "            careless.append(call.method)\n"
NOTE_JS = "  careless.push(call.getPath());\n"
GREET = "    return stub.GetUser(user_pb2.GetUserRequest(name=name), timeout=10).message\n"
BACKUPS = "    return any(backups.iterdir())\n"


def js(exercise: str, right: bool, old: str, new: str) -> Answer:
    return Answer(exercise, right, old, new, suffix=".js")


def contract(exercise: str, right: bool, old: str, new: str) -> Answer:
    return Answer(exercise, right, old, new, exercise.partition("/")[2].replace("-", "_") + ".proto")


def limit(value: str, *, right: bool) -> Answer:
    options = f'options=[("grpc.max_receive_message_length", {value})]'
    return Answer("04/exercise-2", right, SERVER, f"grpc.server(ThreadPoolExecutor(), {options})")


def retrying(times: int, condition: str, *, right: bool) -> Answer:
    return Answer(
        "06/exercise-1",
        right,
        ATTEMPT,
        f"""    for left in range({times}, 0, -1):
        try:
            return attempt(stub, name)
        except grpc.RpcError as error:
            if left == 1{condition}:
                raise
            time.sleep(random.uniform(0, 0.01))
""",
    )


ANSWERS = (
    Answer("01/exercise-2", False, 'name="Aitana", pow=1', 'name="Chloé", pow=3'),
    contract("02/exercise-1", True, REPLY, USER + REPLY + "  User user = 10;\n"),
    contract("02/exercise-1", False, REPLY, USER + REPLY + "  User user = 2;\n"),
    contract("02/exercise-1", False, REPLY, USER.replace("int64", "int32") + REPLY + "  User user = 10;\n"),
    contract("02/exercise-1", False, REPLY, USER.replace("3", "1") + REPLY + "  User user = 10;\n"),
    contract(
        "02/exercise-2", True, POW, '  reserved 2, 4 to 9;\n  reserved "p", "pow";\n  bytes image = 3;\n'
    ),
    contract("02/exercise-2", False, POW, '  reserved 2;\n  reserved "pow";\n  bytes image = 4;\n'),
    contract("02/exercise-2", False, POW, "  reserved 2;\n  bytes image = 3;\n"),
    limit("8_388_608", right=True),
    limit("-1", right=False),
    Answer("04/exercise-1", False, "shown = []\n", "shown = [25, 50, 75, 100]\n"),
    Answer("04/exercise-1", False, "print(*shown)\n", "shown += [25, 50, 75, 100]\nprint(*shown)\n"),
    Answer("04/exercise-1", True, FRAGMENT, FRAGMENT + MARK),
    Answer("04/exercise-1", True, FRAGMENT, MARK + FRAGMENT),
    js("04/exercise-1", False, "const shown = [];\n", "const shown = [25, 50, 75, 100];\n"),
    js("04/exercise-1", True, FRAGMENT_JS, FRAGMENT_JS + MARK_JS),
    js("04/exercise-1", True, FRAGMENT_JS, MARK_JS + FRAGMENT_JS),
    retrying(3, " or error.code() != grpc.StatusCode.UNAVAILABLE", right=True),
    retrying(3, "", right=False),
    retrying(4, " or error.code() != grpc.StatusCode.UNAVAILABLE", right=False),
    Answer("07/exercise-1", False, "            proxy.cut()\n", "            pass\n"),
    Answer("07/exercise-1", False, "grpc.insecure_channel(proxy.address)", "direct"),
    js(
        "07/exercise-1",
        False,
        "new ImageService(proxy.address, nobody)",
        'new ImageService("localhost:50051", nobody)',
    ),
    Answer("07/exercise-2", False, GALA, GALA + "            proxy.cut()\n"),
    Answer("07/exercise-2", False, "Proxy()\n", "Proxy(cut_after=500)\n"),
    Answer("07/exercise-2", False, GALA, GALA + "            requests.put(None)\n            break\n"),
    Answer("07/exercise-2", False, "(proxy.address, options)", '("localhost:50051", options)'),
    Answer("07/exercise-2", False, "(proxy.address, options)", '("localhost:1", options)'),
    Answer("07/exercise-2", False, "options = []\n", 'options = [("grpc.keepalive_time_ms", 1_000)]\n'),
    Answer(
        "07/exercise-2",
        True,
        "(proxy.address, options)",
        '(proxy.address, {"grpc.keepalive_time_ms": 500, "grpc.http2.ping_timeout_ms": 1500}.items())',
    ),
    js("07/exercise-2", False, GALA_JS, GALA_JS + "      proxy.cut();\n"),
    js("07/exercise-2", False, "UsuarioServicio(proxy.address", 'UsuarioServicio("localhost:1"'),
    Answer("08/exercise-1", False, TWICE, "    uploads = {begin(stub)}\n"),
    Answer("08/exercise-1", False, TWICE, "    first = begin(stub)\n    uploads = {first, first}\n"),
    Answer("08/exercise-1", True, "str(uuid.uuid4())", '"cc0f1a5c-75b1-4a2c-8b3c-8f1d5c1c0a51"'),
    js("08/exercise-1", False, TWICE_JS, "new Set([await begin()])"),
    js(
        "08/exercise-1",
        True,
        "request_id: crypto.randomUUID()",
        'request_id: "cc0f1a5c-75b1-4a2c-8b3c-8f1d5c1c0a52"',
    ),
    Answer("08/exercise-2", False, "grpc.insecure_channel(proxy.address)", "direct"),
    Answer("08/exercise-2", False, "Proxy(cut_after=100_000)", "Proxy()"),
    js("08/exercise-2", False, "{ cutAfter: 100_000 }", ""),
    Answer("09/exercise-2", False, VISITS, OTHER_VISITS),
    js("09/exercise-2", False, VISITS_JS, '  await listImages(secret);\n  await listImages("?");\n'),
    Answer(
        "11/exercise-1",
        False,
        GREET,
        f'    try:\n    {GREET}    except grpc.RpcError:\n        return "Try again later"\n',
    ),
    Answer(
        "11/exercise-1",
        False,
        GREET,
        f'    try:\n    {GREET}    except grpc.RpcError:\n        if name != "Nora":\n            raise\n'
        '        return "Try again later"\n',
    ),
    Answer("11/exercise-1", False, GREET, f'    if name:\n        return "Try again later"\n{GREET}'),
    Answer(
        "11/exercise-2",
        True,
        NOTE,
        f"            if context.time_remaining() <= 60:\n                return b''\n{NOTE}",
    ),
    Answer(
        "11/exercise-2", False, NOTE, f'            if call.method.endswith("/ProcessImage"):\n    {NOTE}'
    ),
    Answer("11/exercise-2", False, NOTE, f"            if call.method not in careless:\n    {NOTE}"),
    Answer("11/exercise-2", False, NOTE, f"            if context.time_remaining() > 1e6:\n    {NOTE}"),
    js("11/exercise-2", False, NOTE_JS, f'  if (call.getPath().endsWith("/ProcessImage")) {NOTE_JS}'),
    js("11/exercise-2", True, NOTE_JS, f"  if (!(call.getDeadline() - Date.now() <= 60_000)) {NOTE_JS}"),
    Answer(
        "13/exercise-2",
        True,
        BACKUPS,
        '    limit = f"{now - timedelta(hours=26):%Y%m%dT%H%M%SZ}"\n'
        "    return max(path.name for path in backups.iterdir()) > limit\n",
    ),
    Answer(
        "13/exercise-2",
        False,
        BACKUPS,
        '    limit = f"{now - timedelta(hours=26):%Y%m%dT%H%M%SZ}"\n'
        "    return min(path.name for path in backups.iterdir()) > limit\n",
    ),
)


def replaced(path: Path, old: str, new: str) -> str:
    text = path.read_text()
    assert text.count(old) == 1, (path, old)
    return text.replace(old, new)


def write(folder: Path, address: str, number: int, answer: Answer) -> Path:
    """Puts the answer beside the exercise; gives its path as if it were one of the course's programs."""
    exercise = folder / "docs/learn/programs" / f"{answer.exercise}{answer.suffix}"
    name = f"answer_{number}"
    if answer.proto:
        text = replaced(exercise.with_name(answer.proto), answer.old, answer.new)
        exercise.with_name(f"{name}.proto").write_text(text)
        program = replaced(exercise, answer.proto, f"{name}.proto")
    else:
        program = replaced(exercise, answer.old, answer.new)
    path = exercise.with_name(f"{name}{answer.suffix}")
    path.write_text(program.replace(learn_programs.ADDRESS, address))
    return learn_programs.ROOT / path.relative_to(folder)


@pytest.mark.parametrize("lesson", brief(sorted({answer.exercise[:2] for answer in ANSWERS}), {"04", "09"}))
def test_other_answers(lesson: str, shared: Server, tmp_path: Path) -> None:
    node()
    answers = [answer for answer in ANSWERS if answer.exercise.startswith(lesson)]
    learn_programs.fresh(tmp_path, shared.address)
    chosen = [write(tmp_path, shared.address, number, answer) for number, answer in enumerate(answers)]
    servers = list((learn_programs.PROGRAMS / lesson).glob(learn_programs.SERVER))
    found = learn_programs.run(tmp_path, shared.address, [*servers, *chosen])
    for path, answer in zip(chosen, answers, strict=True):
        ran = found[path]
        assert (ran.status == 0) == answer.right, (answer, ran.text)
        assert "Traceback" not in ran.text, (answer, ran.text)
        assert answer.right or "Not yet" in ran.text, (answer, ran.text)
