"""CPU and wall time of whole processes, ours beside other release tools', on the same repository.

    make bench ARGS="--repo CLONE --tag v0.22.0 --policy policies/cog.toml"

CPU is user plus system time of the process and its children. Each command runs once to warm the caches, then
RUNS times; the median and the least are printed. Peers are whatever is found in the folder given by --peers
(``make bench`` installs them); they print or plan the next version, the nearest thing that they do offline.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUNS = 9
PEERS = {
    "twine": ("--version",),
    "bump-my-version": ("bump", "--dry-run", "--allow-dirty", "--current-version", "0.1.0", "minor"),
    "cz": ("bump", "--dry-run", "--yes"),
    "semantic-release": ("--noop", "version", "--print"),
}


def measure(command: list[str], cwd: Path) -> tuple[float, float, float]:
    """Median CPU, least CPU and median wall seconds of *command*."""
    cpu, wall = [], []
    for _ in range(RUNS + 1):
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(command, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        wall.append(time.perf_counter() - start)
        cpu.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return statistics.median(cpu[1:]), min(cpu[1:]), statistics.median(wall[1:])


def scratch(folder: Path) -> Path:
    """A repository of one tagged commit, for the peers."""
    environment = {
        **os.environ,
        **{f"GIT_{role}_{part}": "bench" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")},
    }
    (folder / "pyproject.toml").write_text('[project]\nname = "bench"\nversion = "0.1.0"\n')
    for words in (("init", "-q", "-b", "main"), ("add", "."), ("commit", "-qm", "feat: first"), ("tag", "v0.1.0")):
        subprocess.run(["git", *words], cwd=folder, env=environment, check=True)
    return folder


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repo", type=Path, help="a clone to plan a release of (default: a scratch repository)")
    parser.add_argument("--tag", default="v0.1.0")
    parser.add_argument("--policy", type=Path)
    parser.add_argument("--peers", type=Path, help="a folder with the peers' commands")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        repository = scratch(Path(temporary))
        policy = repository / "policy.toml"
        policy.write_text('[version]\nsource = "pyproject.toml"\n')
        plan = ["plan", options.tag, "--offline", "--repo", str((options.repo or repository).absolute())]
        plan += ["--policy", str((options.policy or policy).absolute())]
        ours = [sys.executable, "-m", "releaser"]
        rows = {
            "releaser --help": [*ours, "--help"],
            "releaser version": [*ours, "version", "0.17.0-rc.1"],
            "releaser plan --offline": [*ours, *plan],
            "releaser plan --offline --format json": [*ours, *plan, "--format", "json"],
            "python -c pass": [sys.executable, "-c", "pass"],
        }
        for name, arguments in PEERS.items():
            if found := shutil.which(name, path=str(options.peers.absolute()) if options.peers else None):
                rows[f"{name} {arguments[0]}"] = [found, *arguments]
        print(f"{'command':<40}{'cpu median':>11}{'cpu least':>11}{'wall':>8}")
        for name, command in rows.items():
            median, least, wall = measure(command, repository)
            print(f"{name:<40}{median:>10.3f}s{least:>10.3f}s{wall:>7.3f}s")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
