"""Answers to exercises other than the solutions: right ones are taken, and wrong ones are refused."""

from dataclasses import dataclass
from pathlib import Path

from conexiones.testing import Server
from tests.learn.tools import learn_programs


@dataclass(frozen=True, slots=True)
class Answer:
    """What a learner writes in place of a part of the program, or of the contract that it reads."""

    exercise: str
    right: bool
    old: str
    new: str
    proto: str = ""


REPLY = "message GetUserReply {\n  string message = 1;\n"
USER = "message User {\n  int64 pow_squared = 3;\n}\n\n"
POW = "  int32 pow = 2;\n  bytes image = 3;\n"
SERVER = "grpc.server(ThreadPoolExecutor())"
ATTEMPT = "    return attempt(stub, name)\n"
GREET = "    return stub.GetUser(user_pb2.GetUserRequest(name=name), timeout=10).message\n"
BACKUPS = "    return any(backups.iterdir())\n"


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
    retrying(3, " or error.code() != grpc.StatusCode.UNAVAILABLE", right=True),
    retrying(3, "", right=False),
    retrying(4, " or error.code() != grpc.StatusCode.UNAVAILABLE", right=False),
    Answer(
        "11/exercise-1",
        False,
        GREET,
        f'    try:\n    {GREET}    except grpc.RpcError:\n        return "Try again later"\n',
    ),
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


def write(folder: Path, number: int, answer: Answer) -> Path:
    """Puts the answer beside the exercise; gives its path as if it were one of the course's programs."""
    exercise = folder / "docs/learn/programs" / f"{answer.exercise}.py"
    name = f"answer_{number}"
    if answer.proto:
        text = replaced(exercise.with_name(answer.proto), answer.old, answer.new)
        exercise.with_name(f"{name}.proto").write_text(text)
        program = replaced(exercise, answer.proto, f"{name}.proto")
    else:
        program = replaced(exercise, answer.old, answer.new)
    path = exercise.with_name(f"{name}.py")
    path.write_text(program)
    return learn_programs.ROOT / path.relative_to(folder)


def test_other_answers(shared: Server, tmp_path: Path) -> None:
    learn_programs.fresh(tmp_path, shared.address)
    chosen = [write(tmp_path, number, answer) for number, answer in enumerate(ANSWERS)]
    found = learn_programs.run(tmp_path, shared.address, chosen)
    for path, answer in zip(chosen, ANSWERS, strict=True):
        ran = found[path]
        assert (ran.status == 0) == answer.right, (answer, ran.text)
        assert "Traceback" not in ran.text, (answer, ran.text)
