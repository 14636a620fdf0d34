"""One release in a world of its own, its commands killed or raced against one another, and what became of it.

What is drawn is drawn from a seed and a number, so that a release can be played again; only how the threads of its
processes meet is not in its hands.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from releaser.engine.ledger import verify
from releaser.errors import Exit, ReleaserError
from releaser.model.version import Version
from releaser.rehearsal import sample
from releaser.rehearsal.chaos import STEPS, Moment, Reaper, Step
from releaser.rehearsal.server import Call
from releaser.rehearsal.world import World
from tests.kills.forker import Forked, Forker

# Small, and sound here: in this world nothing is under way for long once its sender is dead, and what was accepted
# shows after at most LAG, so that a write of unknown outcome that does not show after SETTLE is not there.
LAG, SETTLE = 0.3, 2.0
FAST = ("--poll", "0.1", "--settle", str(SETTLE))
TRIES = 8
_NEVER = ("Traceback", "trusted-publisher-refused")  # what no command may say, however it ends
PATIENCE = 120.0

ONCE = {
    "github.create-release": 1,
    "github.upload-asset": 16,
    "github.update-release": 1,
    "pypi.upload": 5,
    "crates.publish": 1,
    "npm.publish": 1,
    "tap commit": 2,
    "chocolatey.push": 1,
}
"""How often each write is accepted in a release of the sample project: nothing twice, and nothing missing."""

STEPS_OF = {
    "draft": {"draft": 1, "asset": 14},
    "approve": {"approval": 1},
    "publish": {"exchange": 8, "undraft": 1, "pypi": 5, "crate": 1, "npm": 1, "tap-commit": 2, "feed": 1, "ledger": 15},
}
"""The steps that come in each command, and how often."""

REQUESTS = {"assemble": 20, "draft": 17, "approve": 20, "publish": 400}
"""About how many requests each command makes."""

SECONDS = {"assemble": 0.3, "draft": 0.5, "approve": 0.4, "publish": 4.0}
"""About how long each command takes."""

_ASSEMBLED: dict[str, bytes] = {}

ANY = Step("request", (), "any request", "a request was handled")


@dataclass
class Outcome:
    """What became of one release: how many processes were killed, where, and which promises were broken."""

    seed: str
    ledger: str
    kills: Counter[str] = field(default_factory=Counter)
    missed: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    accepted: Counter[str] = field(default_factory=Counter)
    duplicates: int = 0
    losses: int = 0
    writes: int = 0
    violations: list[str] = field(default_factory=list)
    seconds: float = 0.0


@dataclass(frozen=True)
class Command:
    """A command of the release, and who runs it."""

    name: str
    who: Mapping[str, str]
    arguments: Sequence[str]


class Release:
    """A release of the sample project in *world*, its commands run by *forker*; *ledger* is a kind of place."""

    def __init__(self, world: World, forker: Forker, ledger: str, outcome: Outcome) -> None:
        self.world = world
        self.outcome = outcome
        self.project = sample.settle(world, Version.parse("0.9.0"))
        self.ledger = {"file": str(world.root / "ledger.jsonl"), "sqlite": f"sqlite:{world.root / 'ledger.db'}"}.get(
            ledger, ledger
        )
        self._forker = forker
        self._home = world.root / "home"
        self._home.mkdir()
        self._runs = 0

    @property
    def _dist(self) -> str:
        return str(self.project.artifacts)

    def commands(self) -> Iterator[Command]:
        """Every command on the way, in order."""
        project = self.project
        for name in ("assemble", "draft"):
            yield Command(name, project.job, (name, project.tag, "--artifacts", self._dist))
        digest = f"sha256:{_sha256(project.artifacts / 'release.json')}"
        for reviewer in project.reviewers.values():
            yield Command("approve", reviewer, ("approve", project.tag, "--digest", digest))
        yield self.publication

    @property
    def publication(self) -> Command:
        arguments = ("publish", self.project.tag, "--ledger", self.ledger, *FAST)
        return Command("publish", self.project.job, arguments)

    def start(self, command: Command, **more: str) -> Forked:
        """The command on its way."""
        self._runs += 1
        output = self._home / f"{self._runs}-{command.name}.txt"
        places = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(self._home), "TMPDIR": str(self._home)}
        return self._forker.start(self.project.checkout, {**places, **command.who, **more}, command.arguments, output)

    def ended(self, child: Forked, command: Command, *, fine: Sequence[int]) -> int:
        """The exit code of a command; one that is not *fine*, or a traceback, breaks a promise."""
        try:
            code = child.wait(PATIENCE)
        except TimeoutError:
            child.kill()
            code = child.wait()
            self.broken(f"{command.name} does not end", child)
        if code not in (*fine, -signal.SIGKILL) or any(word in child.said() for word in _NEVER):
            self.broken(f"{command.name} ended with {code}", child)
        return code

    def broken(self, what: str, child: Forked | None = None) -> None:
        said = f"\n{child.said()[-2500:]}" if child else ""
        self.outcome.violations.append(what + said)

    def finish(self, command: Command) -> None:
        """Run the command until it is done, as a patient operator would."""
        for _ in range(TRIES):
            child = self.start(command)
            if self.ended(child, command, fine=(Exit.DONE, Exit.WAITING, Exit.OUTSIDE)) == Exit.DONE:
                if command.name == "assemble":
                    _ASSEMBLED.update({f.name: f.read_bytes() for f in self.project.artifacts.iterdir()})
                return
        self.broken(f"{command.name} is not done after {TRIES} tries", child)

    def put_assembled(self) -> bool:
        """Put the files there that `assemble` makes, as an earlier release made them: the same in every world."""
        names = ("release.json", "SHA256SUMS")
        if not self._runs and _ASSEMBLED:
            for name in names:
                (self.project.artifacts / name).write_bytes(_ASSEMBLED[name])
            return True
        return False

    # What is left of it

    def check(self) -> None:
        """Everything is out with our bytes, exactly once, on record; and one more run has nothing to do."""
        self._check_counts()
        for what in missing(self.world, self.project):
            self.outcome.losses += 1
            self.broken(f"lost: {what}")
        before = self.records()
        writes = len(self.world.journal.writes())
        child = self.start(self.publication)
        self.ended(child, self.publication, fine=(Exit.DONE,))
        self.outcome.writes = len(self.world.journal.writes()) - writes
        if self.outcome.writes or self.records() != before:
            self.broken(f"one more run wrote {self.outcome.writes} times", child)
        self._check_ledger(before)

    def _check_counts(self) -> None:
        accepted = Counter(filter(None, map(_kind, self.world.journal.writes())))
        self.outcome.accepted.update(accepted)
        for kind, times in ONCE.items():
            if accepted[kind] > times:
                self.outcome.duplicates += accepted[kind] - times
                self.broken(f"{kind} was accepted {accepted[kind]} times, not {times}")
            elif accepted[kind] < times:
                self.outcome.losses += times - accepted[kind]
                self.broken(f"{kind} was accepted {accepted[kind]} times, not {times}")

    def records(self) -> Sequence[bytes]:
        """The lines of the ledger, read past the program's own stores."""
        kind, _, place = self.ledger.partition(":")
        if kind == "sqlite":
            with closing(sqlite3.connect(place)) as database:
                rows = database.execute("SELECT line FROM ledger ORDER BY seq").fetchall()
            return [bytes(row[0]) + b"\n" for row in rows]
        if kind != "forge":
            return Path(self.ledger).read_bytes().splitlines(keepends=True)
        git = self.world.github.root / "git" / f"{sample.REPOSITORY}.git"
        told = subprocess.run(
            ["git", "log", "--reverse", "--format=%B", f"refs/releaser/ledger/{self.project.tag}"],
            cwd=git,
            check=True,
            capture_output=True,
        )
        return [line + b"\n" for line in told.stdout.splitlines() if line.startswith(b"{")]

    def _check_ledger(self, lines: Sequence[bytes]) -> None:
        """An unbroken chain in which everything that was meant came to an end, and was done once."""
        try:
            records = list(verify(lines, self.ledger))
        except ReleaserError as error:
            self.broken(f"the ledger does not hold: {error} {error.found}")
            return
        meant = {r["body"]["effect"] for r in records if r["kind"] == "intent"}
        done = Counter(r["body"]["effect"] for r in records if r["kind"] == "outcome" and r["body"]["result"] == "done")
        if done != Counter(meant):
            self.broken(f"the ledger has other ends than beginnings: {sorted(meant ^ done.keys()) or done}")


def _kind(call: Call) -> str:
    """What a write counts as; nothing for one that nobody sees or that is the ledger's own."""
    if STEPS["tap-commit"].has(call):
        return "tap commit"
    return call.operation if call.operation in ONCE else ""


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def missing(world: World, project: sample.Sample) -> Iterator[str]:
    """Every file that cannot be had from where it belongs, or not with our digest; asked for as anybody would."""
    left = (".release.json.", ".SHA256SUMS.")  # by a writer that was killed
    files = {f.name: f for f in project.artifacts.iterdir() if not f.name.startswith(left)}
    shown: dict[str, str] = {}
    for package in ("ternlet", "tern"):
        page = _read(f"{world.pypi.url}/simple/{package}/", Accept="application/vnd.pypi.simple.v1+json")
        shown |= {f["filename"]: f["hashes"]["sha256"] for f in json.loads(page)["files"]}
    for line in _read(f"{world.crates.url}/index/te/rn/ternlet").splitlines():
        entry = json.loads(line)
        shown[f"{entry['name']}-{entry['vers']}.crate"] = entry["cksum"]
    version = json.loads(_read(f"{world.npm.url}/@harbor%2ftern"))["versions"][str(project.version)]
    shown["harbor-tern-0.9.0.tgz"] = version["dist"]["integrity"]
    for name, file in files.items():
        if name.endswith((".whl", ".tar.gz", ".crate")) and shown.get(name) != _sha256(file):
            yield f"{name} at its registry: {shown.get(name)}"
    sri = "sha512-" + base64.b64encode(hashlib.sha512(files["harbor-tern-0.9.0.tgz"].read_bytes()).digest()).decode()
    if shown["harbor-tern-0.9.0.tgz"] != sri:
        yield f"the npm package: {shown['harbor-tern-0.9.0.tgz']}"
    for name, file in files.items():
        address = f"{world.github.url}/{sample.REPOSITORY}/releases/download/{project.tag}/{name}"
        if _read(address) != file.read_bytes():
            yield f"{name} of the public release"
    for repository, path in ((sample.TAP, "Casks/tern.rb"), (sample.BUCKET, "bucket/tern.json")):
        git = world.github.root / "git" / f"{repository}.git"
        told = subprocess.run(["git", "show", f"main:{path}"], cwd=git, check=False, capture_output=True)
        if str(project.version).encode() not in told.stdout:
            yield f"{path} in {repository}"


def _read(address: str, **headers: str) -> bytes:
    """The body behind *address*, empty where there is none."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(address, headers={"User-Agent": "check", **headers})  # noqa: S310 - loopback
    try:
        with opener.open(request, timeout=30) as answer:
            found: bytes = answer.read()
            return found
    except urllib.error.HTTPError:
        return b""


# Kills


def killed(forker: Forker, seed: str, ledger: str) -> Outcome:
    """A release of which one to four processes are killed, at steps, at requests and at any time."""
    draw, outcome, began = random.Random(seed), Outcome(seed, ledger), time.monotonic()  # noqa: S311 - a replay
    with (
        tempfile.TemporaryDirectory(prefix="kills-", ignore_cleanup_errors=True) as folder,
        World(Path(folder)) as world,
    ):
        world.lag(draw.choice((0.0, 0.0, LAG)))
        release = Release(world, forker, ledger, outcome)
        count = draw.choices((1, 2, 3, 4), (1, 2, 3, 4))[0]
        plan = Counter(draw.choices(("assemble", "draft", "approve", "publish"), (1, 4, 3, 12), k=count))
        for command in release.commands():
            for _ in range(plan.pop(command.name, 0)):
                _kill(release, command, draw)
            if command.name != "assemble" or not release.put_assembled():
                release.finish(command)
            if outcome.violations:
                break
        if not outcome.violations:
            release.check()
    outcome.seconds = time.monotonic() - began
    return outcome


def _kill(release: Release, command: Command, draw: random.Random) -> None:
    """Run the command, and kill it at a moment that is drawn, if that comes before its end."""
    name = command.name
    how = draw.choices(("step", "request", "time"), (5, 3, 4))[0] if name != "assemble" else "time"
    before = draw.random() < 0.4
    where, moments = "at any time", []
    if how == "step":
        step = draw.choice([s for s in STEPS_OF[name] if s != "ledger" or release.ledger == "forge"])
        left = STEPS_OF[name][step] - sum(STEPS[step].has(call) for call in release.world.journal.writes())
        moments = [Moment(STEPS[step], draw.randint(1, max(1, left)), before)]
        where = step
    elif how == "request":
        moments = [Moment(ANY, draw.randint(1, REQUESTS[name]), before)]
        where = "at any request"
    pause = draw.uniform(0.0, SECONDS[name])
    with Reaper(release.world.journal, moments) as reaper:
        child = reaper.start(lambda: release.start(command))
        if how == "time":
            try:
                child.wait(pause)
            except TimeoutError:
                child.kill()
        code = release.ended(child, command, fine=(Exit.DONE, Exit.WAITING, Exit.OUTSIDE))
    if code == -signal.SIGKILL:
        release.outcome.kills[f"{name}: {where}"] += 1
    else:
        release.outcome.missed += 1


# Races


def raced(forker: Forker, seed: str, ledger: str, racers: int) -> Outcome:
    """A release for which *racers* publish jobs are started, together or one after another."""
    draw, outcome, began = random.Random(seed), Outcome(seed, ledger), time.monotonic()  # noqa: S311 - a replay
    with (
        tempfile.TemporaryDirectory(prefix="races-", ignore_cleanup_errors=True) as folder,
        World(Path(folder)) as world,
    ):
        world.lag(draw.choice((0.0, 0.0, LAG)))
        release = Release(world, forker, ledger, outcome)
        publication = release.publication
        for command in release.commands():
            assembled = command.name == "assemble" and release.put_assembled()
            if not assembled and command.name != "publish":
                release.finish(command)
        together = draw.random() < 0.5
        children = []
        for number in range(racers):
            children.append(release.start(publication, GITHUB_RUN_ID=str(number + 1)))
            if not together:
                time.sleep(draw.uniform(0.0, SECONDS["publish"] / racers))
        for child in children:
            code = release.ended(child, publication, fine=(Exit.DONE, Exit.WAITING))
            outcome.ends[f"{code} {_why(child)}".strip()] += 1
        release.finish(publication)
        if not outcome.violations:
            release.check()
    outcome.seconds = time.monotonic() - began
    return outcome


def _why(child: Forked) -> str:
    """The code of the error that a command ended with."""
    errors = [line for line in child.said().splitlines() if line.startswith("error: ")]
    return errors[-1].rpartition("[")[2].rstrip("]") if errors else ""
