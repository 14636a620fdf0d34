"""The n-th system call on a ledger's file fails, for every n: what was acknowledged is there, and no more is taken."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from releaser.adapters.store_file import FileStore
from releaser.adapters.store_sqlite import SqliteStore

SHIFT = 100
RUNS = 14  # more than there are calls of one kind in a worker
WORKER = f"""
import json, os, sys
from pathlib import Path
from releaser.adapters.store_file import FileStore
from releaser.adapters.store_sqlite import SqliteStore
from releaser.errors import ReleaserError

kind, folder, runs = sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3])
ledger, idle = folder / "ledger", os.open(folder / "idle", os.O_RDWR)
idly = dict(
    write=lambda: os.write(idle, b""),
    pwrite64=lambda: os.pwrite(idle, b"", 0),
    ftruncate=lambda: os.ftruncate(idle, 0),
    fsync=lambda: os.fsync(idle),
    fdatasync=lambda: os.fdatasync(idle),
)

def work(call, number):
    # The {SHIFT}th of its kind in each process fails: so many idle ones before make it the one that is meant.
    for _ in range({SHIFT} - number):
        idly[call]()
    said = dict(taken=0, codes=[])
    try:
        with FileStore(ledger) if kind == "file" else SqliteStore(ledger, "v1.2.0") as store:
            for line in (b"0\\n", b"1\\n", b"2\\n", b"3\\n"):
                try:
                    said["taken"] += store.extend(said["taken"], [line])
                except ReleaserError as error:
                    said["codes"].append(error.code)
    except ReleaserError as error:
        said["codes"].append(error.code)
    return said

for name, (call, number) in enumerate(runs):
    os.rename(folder / "prepared" / str(name), ledger)
    if os.fork() == 0:
        (folder / f"{{name}}.json").write_text(json.dumps(work(call, number)))
        os._exit(0)
    assert os.wait()[1] == 0
    done = folder / "done" / str(name)
    done.mkdir(parents=True)
    for file in folder.glob("ledger*"):
        file.rename(done / file.name)
"""
OPENERS: dict[str, Callable[[Path], FileStore | SqliteStore]] = {
    "file": FileStore,
    "sqlite": lambda path: SqliteStore(path, "v1.2.0"),
}


def traced(kind: str, folder: Path, error: str, runs: Sequence[tuple[str, int]]) -> Counter[str]:
    """Let the n-th *call* of a worker fail, for each of *runs*; how often each call did fail."""
    (folder / "idle").touch()
    (folder / "prepared").mkdir()
    for number in range(len(runs)):
        OPENERS[kind](folder / "prepared" / str(number)).__exit__()
    log = folder / "log"
    files = [f"--trace-path={folder / name}" for name in ("idle", "ledger", "ledger-wal")]
    calls = ",".join(dict.fromkeys(call for call, _ in runs))
    options = ["-f", "-o", str(log), *files, f"--inject={calls}:error={error}:when={SHIFT}"]
    command = ["strace", *options, sys.executable, "-c", WORKER, kind, str(folder), json.dumps(runs)]
    done = subprocess.run(
        command, env={"PYTHONPATH": ":".join(sys.path)}, stderr=subprocess.PIPE, check=False, text=True
    )
    if "PTRACE" in done.stderr:
        pytest.skip("no process may be traced here")
    assert (done.returncode, done.stderr) == (0, "")
    return Counter(re.findall(r"^\d+ +(\w+)\(.*\(INJECTED\)$", log.read_text(), re.MULTILINE))


@pytest.mark.clients("strace")
@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
@pytest.mark.parametrize(
    ("kind", "calls"),
    [("file", ("ftruncate", "write", "fsync")), ("sqlite", ("pwrite64", "fdatasync"))],
    ids=["file", "sqlite"],
)
def test_whichever_call_fails_what_was_taken_stays(
    tmp_path: Path, kind: str, calls: tuple[str, ...], error: str
) -> None:
    runs = [(call, number) for call in calls for number in range(1, RUNS + 1)]
    failed = traced(kind, tmp_path, error, runs)
    assert all(4 <= failed[call] < RUNS for call in calls), "at least one a line, and one more than there are"
    for name, (call, number) in enumerate(runs):
        said = json.loads((tmp_path / f"{name}.json").read_text())
        taken, codes = said["taken"], said["codes"]
        assert set(codes) <= {"ledger-unwritable"}
        assert len(codes) in (0, 1, 4 - taken), "once one failed, no other is taken"
        assert codes or taken == 4
        with OPENERS[kind](tmp_path / "done" / str(name) / "ledger") as store:
            found = list(store.read())
            assert found == [b"0\n", b"1\n", b"2\n", b"3\n"][: len(found)]
            assert len(found) in ((taken,) if kind == "file" or not codes else (taken, taken + 1)), (call, number)
            assert store.extend(len(found), [b"more\n"])
