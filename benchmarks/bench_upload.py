"""How long 40 wheels of 2 MiB take to a package index that is 50 ms away: a release of ours beside ``twine upload``.

    make bench

Both send the same files to the rehearsal index, a fresh one for each run, in a process of its own; every request
waits 50 ms before it is handled. The time is taken there: from the first upload's arrival to the last one's answer.
Ours is a whole ``releaser publish`` of an approved release, so one file goes ahead and the others follow side by
side, exactly as in production. Whole processes are shown too, though they do different work: ours reads the gates
again, fetches the approved files from the draft, hashes them, and reads back what the index shows. Exits 1 when
the uploads are not `TIMES` as fast.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.elsewhere import LATENCY, There, wheel, world

RUNS = 5
TIMES = 5
SIZE = 2 << 20  # bytes
PLATFORMS = (
    *(f"{libc}_{machine}" for libc in ("manylinux_2_17", "musllinux_1_2") for machine in ("x86_64", "aarch64")),
    *("macosx_10_12_x86_64", "macosx_11_0_arm64", "win_amd64", "win_arm64"),
)
TAGS = tuple(f"cp3{minor}-cp3{minor}-{platform}" for minor in range(9, 14) for platform in PLATFORMS)


def command(arguments: list[str], cwd: Path, environment: dict[str, str]) -> float:
    """Run it and give the seconds it took; what it said is shown only when it fails."""
    begun = time.perf_counter()
    ran = subprocess.run(arguments, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - begun
    if ran.returncode:
        raise SystemExit(f"{' '.join(arguments[:5])}: exit {ran.returncode}\n{ran.stdout}{ran.stderr}")
    return seconds


def ours(dist: Path) -> tuple[float, float]:
    """Seconds of the uploads, and of the whole of ``releaser publish``, whose ledger is on disk."""
    with tempfile.TemporaryDirectory() as disk, world(in_memory=True) as there:
        checkout, tag = Path(there.told["checkout"]), there.told["tag"]
        home = checkout.parent
        plain = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": os.pathsep.join(sys.path)}
        releaser, job = [sys.executable, "-m", "releaser"], {**plain, **there.told["job"]}
        built = home / "built"
        shutil.copytree(dist, built)
        for step in ("assemble", "draft"):
            command([*releaser, step, tag, "--artifacts", str(built)], checkout, job)
        digest = hashlib.sha256((built / "release.json").read_bytes()).hexdigest()
        for person in there.told["people"]:
            command([*releaser, "approve", tag, "--digest", f"sha256:{digest}"], checkout, {**plain, **person})
        whole = command([*releaser, "publish", tag, "--ledger", f"{disk}/ledger"], checkout, job)
        return measured(there), whole


def theirs(dist: Path, twine: str) -> tuple[float, float]:
    """Seconds of the uploads, and of the whole of ``twine upload``."""
    with world(in_memory=True) as there:
        login = ["--username", "__token__", "--password", there.told["token"], "--non-interactive"]
        address = ["--repository-url", there.told["upload"], "--disable-progress-bar"]
        files = sorted(str(file) for file in dist.iterdir())
        plain = {"PATH": os.environ["PATH"], "HOME": there.told["checkout"]}
        whole = command([twine, "upload", *login, *address, *files], dist, plain)
        return measured(there), whole


def measured(there: There) -> float:
    count, seconds = there.uploads()
    if count != len(TAGS):
        raise SystemExit(f"{count} uploads were taken, {len(TAGS)} were wanted")
    return seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, help="the folder with twine (default: PATH)")
    options, _ = parser.parse_known_args()
    twine = shutil.which("twine", path=str(options.peers.absolute()) if options.peers else None)
    if twine is None:
        raise SystemExit("twine is not there; `make bench` installs it")
    with tempfile.TemporaryDirectory() as folder:
        dist = Path(folder)
        for tag in TAGS:
            wheel(dist, tag, SIZE)
        pairs = [(ours(dist), theirs(dist, twine)) for _ in range(RUNS)]  # in turn, so that noise meets both
    mine, other = zip(*pairs, strict=True)
    print(f"{len(TAGS)} wheels of {SIZE >> 20} MiB, {LATENCY * 1000:.0f} ms a request, median of {RUNS}")
    print(f"{'':<20}{'uploads':>10}{'process':>10}   uploads of each run")
    for name, runs in {"releaser publish": mine, "twine upload": other}.items():
        uploads, whole = zip(*runs, strict=True)
        each = " ".join(f"{u:.2f}" for u in uploads)
        print(f"{name:<20}{statistics.median(uploads):>9.2f}s{statistics.median(whole):>9.2f}s   {each}")
    ratio = statistics.median(u for u, _ in other) / statistics.median(u for u, _ in mine)
    print(f"{ratio:.1f} times as fast; at least {TIMES} are wanted")
    return 0 if ratio >= TIMES else 1


if __name__ == "__main__":
    raise SystemExit(main())
