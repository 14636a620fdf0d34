"""How much memory a large upload takes: a 1 GiB file to a draft on the forge, and a 90 MB wheel to a pypiserver.

    make bench

Each upload is made by our adapter in a process of its own, whose peak memory is printed beside what it was before
the upload. The servers are other processes: the rehearsal world's GitHub, and pypiserver from the folder given by
--peers. Exits 1 above `LIMIT`.
"""

from __future__ import annotations

import argparse
import hashlib
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from benchmarks.elsewhere import wheel, world

LIMIT = 150_000_000  # bytes
ASSET = 1 << 30
WHEEL = 90_000_000
PATIENCE = 30.0  # seconds, for a server to come up


def peak() -> int:
    """The most bytes that this process ever had in memory."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def send_asset(file: Path, api: str, repository: str, tag: str, token: str) -> None:
    from releaser.adapters.github import GitHub

    with closing(GitHub(repository, token, api)) as forge:
        found = forge.tag(tag)
        draft = forge.create_draft(tag, found.commit if found else "", tag, "", prerelease=False)
        before = peak()
        asset = forge.upload(draft, file.name, file, lambda _: None)
    if (asset.size, asset.complete) != (file.stat().st_size, True):
        raise SystemExit(f"{asset.size} bytes arrived")
    print(before, peak())


def send_wheel(file: Path, index: str) -> None:
    from releaser.adapters.endpoints import CratesEndpoints, Endpoints, GitHubEndpoints, NpmEndpoints, PyPIEndpoints
    from releaser.adapters.http import Client
    from releaser.adapters.pypi import PyPI
    from releaser.engine.ports import Credential, Sent
    from releaser.model.artifact import Artifact, Kind
    from releaser.model.manifest import PlannedPublication

    with file.open("rb") as source:
        digest = hashlib.file_digest(source, "sha256").hexdigest()
    artifact = Artifact(name=file.name, kind=Kind.WHEEL, group="wheels", size=file.stat().st_size, sha256=digest)
    publication = PlannedPublication(
        id="wheels", registry="pypi", package="ternlet", version="1.0.0", files=(file.name,), wave=0
    )
    elsewhere = CratesEndpoints("", ""), NpmEndpoints(""), GitHubEndpoints("", "")
    endpoints = Endpoints(PyPIEndpoints(f"{index}/", index), *elsewhere)
    with closing(Client()) as client:
        registry = PyPI(endpoints, client)
        before = peak()
        receipt = registry.publish(publication, artifact, file, Credential("anybody", 0.0), lambda _: None)
    if receipt.sent is not Sent.ACCEPTED:
        raise SystemExit(receipt.detail)
    print(before, peak())


SENDERS: dict[str, Callable[..., None]] = {"asset": send_asset, "wheel": send_wheel}


def sent(what: str, file: Path, *where: str) -> tuple[int, int]:
    """Peak memory of a process that sends *file*, before and after."""
    command = [sys.executable, __file__, "--send", what, str(file), *where]
    ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    before, after = ran.stdout.split()
    return int(before), int(after)


@contextmanager
def pypiserver(command: str, folder: Path) -> Iterator[str]:
    """Where a pypiserver that takes everything listens."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = ["run", "--interface", "127.0.0.1", "--port", str(port), "--passwords", ".", "--authenticate", "."]
    with subprocess.Popen([command, *options, str(folder)], stderr=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + PATIENCE
            while process.poll() is None and time.monotonic() < deadline:
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def asset_to_forge(folder: Path) -> tuple[int, int]:
    file = folder / "asset.bin"
    with file.open("wb") as out:
        out.truncate(ASSET)  # sparse: no room on disk, and every byte goes over the wire
    with world(in_memory=False) as there:
        job = there.told["job"]
        where = (there.told["forge"], job["GITHUB_REPOSITORY"], there.told["tag"], job["GITHUB_TOKEN"])
        return sent("asset", file, *where)


def wheel_to(command: str, folder: Path) -> tuple[int, int]:
    stored = folder / "stored"
    stored.mkdir()
    file = wheel(folder, "py3-none-any", WHEEL)
    with pypiserver(command, stored) as index:
        figures = sent("wheel", file, index)
    if (stored / file.name).stat().st_size != file.stat().st_size:
        raise SystemExit("what was stored is not what was sent")
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, help="the folder with pypi-server (default: PATH)")
    parser.add_argument("--send", nargs="+", help=argparse.SUPPRESS)
    options, _ = parser.parse_known_args()
    if options.send:
        what, file, *where = options.send
        SENDERS[what](Path(file), *where)
        return 0
    command = shutil.which("pypi-server", path=str(options.peers.absolute()) if options.peers else None)
    if command is None:
        raise SystemExit("pypiserver is not there; `make bench` installs it")
    with tempfile.TemporaryDirectory() as folder:
        rows = {
            f"{ASSET >> 20} MiB to the rehearsal GitHub": asset_to_forge(Path(folder)),
            f"{WHEEL / 1e6:.0f} MB wheel to pypiserver": wheel_to(command, Path(folder)),
        }
    print(f"{'peak memory of our process':<36}{'before':>10}{'after':>10}")
    for name, (before, after) in rows.items():
        print(f"{name:<36}{before / 1e6:>7.1f} MB{after / 1e6:>7.1f} MB")
    print(f"at most {LIMIT / 1e6:.0f} MB are wanted")
    return 0 if all(after < LIMIT for _, after in rows.values()) else 1


if __name__ == "__main__":
    raise SystemExit(main())
