"""A rehearsal world in a process of its own, so that a benchmark measures the client, and wheels to send there."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, ClassVar

from releaser.model.version import Version
from releaser.rehearsal import sample
from releaser.rehearsal.pypi import PyPI
from releaser.rehearsal.server import Call, Request, Response
from releaser.rehearsal.world import World

VERSION = "1.0.0"
LATENCY = 0.05  # seconds
PIECE = 1 << 20  # bytes
MEMORY = Path("/dev/shm")  # noqa: S108 - where a world keeps its files if it can: no disk of the server is measured
POLICY = """\
[version]
source = "crates/Cargo.toml"
[channels.stable]
branches = ["main"]
[checks]
required = ["ci-complete"]
[approval]
quorum = 2
approvers = ["team:harbor/maintainers"]
[artifacts.wheels]
files = "ternlet-*.whl"
[publish.ternlet]
registry = "pypi"
package = "ternlet"
files = "wheels"
environment = "release"
"""


class Far(PyPI):
    """The index, `LATENCY` away from everybody. ``uploads`` are the times of arrival and answer of each."""

    uploads: ClassVar[list[tuple[float, float]]] = []

    def answer(self, request: Request) -> tuple[Call, Response | None]:
        arrived = time.perf_counter()
        time.sleep(LATENCY)
        call, response = super().answer(request)
        if call.operation == "pypi.upload" and call.status == 200:
            self.uploads.append((arrived, time.perf_counter()))
        return call, response


@dataclass(frozen=True, slots=True)
class There:
    """What the world told of itself, and how to ask how many files were taken, and in how many seconds."""

    told: dict[str, Any]
    uploads: Callable[[], tuple[int, float]]


@contextmanager
def world(*, in_memory: bool) -> Iterator[There]:
    """The sample project, with wheels only, in a world `LATENCY` away, for the length of a block."""
    pipe = subprocess.PIPE
    with (
        tempfile.TemporaryDirectory(dir=MEMORY if in_memory and MEMORY.is_dir() else None) as root,
        subprocess.Popen([sys.executable, __file__, root], stdin=pipe, stdout=pipe, text=True) as process,
    ):

        def ask() -> Any:
            print(file=process.stdin, flush=True)
            return json.loads(process.stdout.readline() if process.stdout else "")

        yield There(ask(), ask)


def wheel(folder: Path, tag: str, size: int) -> Path:
    """A wheel of the project with *size* bytes that do not compress, the same in every run; made in little memory."""
    file, info = folder / f"ternlet-{VERSION}-{tag}.whl", f"ternlet-{VERSION}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: ternlet\nVersion: {VERSION}\nLicense: MIT\n"
    about = f"Wheel-Version: 1.0\nGenerator: bench\nRoot-Is-Purelib: false\nTag: {tag}\n"
    content = {
        "ternlet/native": _noise(tag, size),
        f"{info}/METADATA": iter([metadata.encode()]),
        f"{info}/WHEEL": iter([about.encode()]),
    }
    record = ""
    with zipfile.ZipFile(file, "w") as archive:
        for path, pieces in content.items():
            digest, length = hashlib.sha256(), 0
            with archive.open(zipfile.ZipInfo(path), "w") as entry:
                for piece in pieces:
                    digest.update(piece)
                    length += entry.write(piece)
            record += f"{path},sha256={base64.urlsafe_b64encode(digest.digest()).decode().rstrip('=')},{length}\n"
        archive.writestr(zipfile.ZipInfo(f"{info}/RECORD"), f"{record}{info}/RECORD,,\n")
    return file


def _noise(seed: str, size: int) -> Iterator[bytes]:
    source = random.Random(seed)  # noqa: S311 - filler
    for start in range(0, size, PIECE):
        yield source.randbytes(min(PIECE, size - start))


def serve(root: Path, questions: IO[str]) -> None:
    """Be the world until *questions* end: say first where it is, then how the uploads went."""
    sample.POLICY = POLICY
    world = World(root)
    world.pypi.__class__ = Far
    project = sample.settle(world, Version.parse(VERSION))
    with world:
        told = {
            "job": dict(project.job),
            "people": [dict(who) for who in project.reviewers.values()],
            "tag": project.tag,
            "checkout": str(project.checkout),
            "upload": f"{world.pypi.url}/legacy/",
            "token": world.pypi.user_token,
            "forge": world.github.url,
        }
        questions.readline()
        print(json.dumps(told), flush=True)
        for _ in questions:
            arrived, answered = zip(*Far.uploads, strict=True) if Far.uploads else ((0.0,), (0.0,))
            print(json.dumps((len(Far.uploads), max(answered) - min(arrived))), flush=True)


if __name__ == "__main__":
    serve(Path(sys.argv[1]), sys.stdin)
