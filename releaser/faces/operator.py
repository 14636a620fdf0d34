"""A patient operator: runs the commands of a rehearsed release, lets things go wrong, and runs them again.

What went wrong is said in plain words as it happens; in the end, what the ledger says and what the servers counted.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

from releaser.errors import Exit

if TYPE_CHECKING:
    from releaser.rehearsal.chaos import Mishap, Moment, Row
    from releaser.rehearsal.sample import Sample
    from releaser.rehearsal.server import Call, Fault
    from releaser.rehearsal.world import World

TRIES = 8
PAUSE = 0.5
"""Seconds between two tries."""
_AGAIN = {
    Exit.USAGE: "it could not be used as it was",
    Exit.WAITING: "it waits for something",
    Exit.OUTSIDE: "something outside failed",
}

_RACER = re.compile(r"^run (\d+), attempt 1\b")
"""How a publish job that has rivals is called in the ledger."""


class Operator:
    """Runs commands as everyone who takes part in *project*. A context manager.

    With *moments* or *mishaps* it is patient: a command that was killed or has failed is run again. *racers* is how
    many publish jobs are started at once. The commands' temporary files are in *room*, where a killed one leaves them.
    """

    def __init__(
        self,
        world: World,
        project: Sample,
        moments: Sequence[Moment],
        mishaps: Sequence[Mishap],
        racers: int,
        room: Path,
    ) -> None:
        from releaser.rehearsal.chaos import Reaper

        self._world = world
        self._project = project
        self._racers = racers
        self._raced = False
        self._room = room
        self._patient = bool(moments or mishaps or racers > 1)
        self._tries = TRIES + len(moments)
        self._who = ""
        self._last: tuple[Mapping[str, str], Sequence[str]] = ({}, ())
        self._reaper = Reaper(world.journal, moments, self._killed)
        self._faults = [(mishap, mishap.fault()) for mishap in mishaps]
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        self._opened.enter_context(self._reaper)
        self._world.faults.watch = self._failed
        for _, fault in self._faults:
            self._world.faults.add(fault)
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def run(self, who: str, environment: Mapping[str, str], *arguments: str) -> int:
        """The exit code of the command's last run."""
        self._last = environment, arguments
        code = self._once(who, environment, arguments)
        for _ in range(self._tries):
            if not self._patient or code not in (-signal.SIGKILL, *_AGAIN):
                break
            if code in _AGAIN:
                say(f"--- the {who} ended with {code}, {_AGAIN[Exit(code)]}; so it is run again")
            time.sleep(PAUSE)
            code = self._once(who, environment, arguments)
        return code

    def publish(self, environment: Mapping[str, str], *arguments: str) -> int:
        """As `run` for the publish job; where there is to be a race, several of them at once come first."""
        self._last = environment, arguments
        if self._racers > 1:
            say(f"\n[{self._racers} publish jobs at once] $ releaser {shlex.join(arguments)}")
            codes = self._race(environment, arguments)
            if Exit.DONE in codes:
                return Exit.DONE
            say("--- none of them got to the end, so one is run again")
        return self.run("publish job", environment, *arguments)

    def _once(self, who: str, environment: Mapping[str, str], arguments: Sequence[str]) -> int:
        say(f"\n[{who}] $ releaser {shlex.join(arguments)}")
        self._who = who
        return self._reaper.wait(self._reaper.start(lambda: self._launch(environment, arguments)))

    def _launch(
        self, environment: Mapping[str, str], arguments: Sequence[str], output: int | None = None
    ) -> subprocess.Popen[str]:
        from releaser.faces.action import LONG_LIVED

        # Nothing of the real world has a part in it.
        real = ("GITHUB_", "GH_", "ACTIONS_", "RELEASER_", "CHOCOLATEY_", *LONG_LIVED)
        keep = {k: v for k, v in os.environ.items() if not k.startswith(real)}
        command = [sys.executable, "-m", "releaser", *arguments]
        folder, errors = self._project.checkout, subprocess.STDOUT if output else None
        given = {**keep, **environment, "TMPDIR": str(self._room)}
        return subprocess.Popen(command, cwd=folder, env=given, stdout=output, stderr=errors, text=True)

    def _race(self, environment: Mapping[str, str], arguments: Sequence[str]) -> Sequence[int]:
        """How publish jobs that were started together ended, each as a run of its own."""
        self._who = "publish jobs that still ran"
        self._raced = True
        jobs = []
        for number in range(1, self._racers + 1):
            name = f"publish job {number}"
            own = {**environment, "GITHUB_RUN_ID": str(number)}
            child = self._reaper.start(partial(self._launch, own, arguments, subprocess.PIPE))
            said: list[str] = []
            listener = threading.Thread(target=_repeat, args=(child.stdout, f"{name} | ", said), daemon=True)
            listener.start()
            jobs.append((name, child, listener, said))
        codes, ends = [], []
        for name, child, listener, said in jobs:
            codes.append(self._reaper.wait(child))
            listener.join()
            why = next((found[1] for line in reversed(said) if (found := re.search(r"\[([a-z-]+)\]$", line))), "")
            ends.append(f"--- {name} ended with {codes[-1]}{_meaning(codes[-1], why)}")
        say("\n" + "\n".join(ends))
        return codes

    # What goes wrong

    def _killed(self, moment: Moment, call: Call) -> None:
        were, next_ = ("were", "One") if self._who.startswith("publish jobs") else ("was", "It")
        say(f"\n--- the {self._who} {were} killed {moment.told(call)}; nobody was told. {next_} is run again.")

    def _failed(self, fault: Fault, call: Call) -> None:
        mishap = next(mishap for mishap, own in self._faults if own is fault)
        say(f"--- {mishap.told(call)}")

    def calm(self) -> Mapping[str, str]:
        """Let nothing go wrong any more; what was asked for and has not happened, as it was asked for, and why."""
        found = {f"--crash-at {moment}": self._why(moment) for moment in self._reaper.left}
        for mishap, fault in self._faults:
            if fault.times:
                found[f"--fault {mishap}"] = self._why(mishap.moment)
                fault.times = 0
        if self._racers > 1 and not self._raced:
            found[f"--race {self._racers}"] = "the release came to no publish job"
        return found

    def _why(self, moment: Moment) -> str:
        """Why nothing happened at a moment."""
        came = sum(moment.step.has(call) for call in self._world.journal.calls())
        if came >= moment.nth:
            return f"whoever sent the request {moment.step.name}:{moment.nth} was killed by then"
        return f"the release made {came or 'no'} {moment.step.name} request{'s' * (came != 1)}"

    # The end

    def verdict(self) -> int:
        """What the ledger says and what the servers counted of a finished release, and that to run its last command
        once more does nothing; Exit.BUG where that does not hold."""
        from releaser.faces.log import LineReporter
        from releaser.faces.render import console
        from releaser.faces.wire import Wiring
        from releaser.model.manifest import ASSET, Manifest
        from releaser.rehearsal.chaos import account

        project = self._project
        where, records, _ = Wiring(LineReporter(), project.job["GITHUB_REPOSITORY"], project.job).records(
            "forge", project.tag
        )
        out = console()
        out.print(f"\nWhat the ledger says: {len(records)} records at {where}, unbroken", style="bold")
        for line in story(records):
            out.print(f"  {line}", markup=False, highlight=False)

        manifest = Manifest.parse((project.artifacts / ASSET).read_bytes(), ASSET)
        approvals = len(project.reviewers) if manifest.draft else 0
        rows = account(manifest, approvals, self._world.journal.writes())
        out.print("\nWhat the servers accepted", style="bold")
        for row in _folded(rows):
            mark, style = ("✓", "green") if row.accepted == 1 else ("✗", "red")
            times = "once" if row.accepted == 1 else f"{row.accepted} times"
            out.print(f"  {mark}  {row.step:<13}{times:<9}{row.what}", style=style, markup=False, highlight=False)

        before = self._world.journal.writes()
        environment, arguments = self._last
        again = self._launch(environment, arguments, subprocess.PIPE)
        said = again.communicate()[0]
        writes = len(self._world.journal.writes()) - len(before)
        good = again.returncode == Exit.DONE and not writes
        out.print(
            f"\n{'✓' if good else '✗'}  {arguments[0]} once more: exit {again.returncode}, {writes} writes",
            style="green" if good else "red",
        )
        if again.returncode:
            say(said)
        return Exit.DONE if good and all(row.accepted == 1 for row in rows) else Exit.BUG


def _folded(rows: Sequence[Row]) -> Iterator[Row]:
    """*rows* with the files of the draft in one, where each of them was taken once."""
    files = [row for row in rows if row.step == "asset"]
    fine = len(files) > 1 and all(row.accepted == 1 for row in files)
    for row in rows:
        if not fine or row.step != "asset":
            yield row
        elif row is files[0]:
            yield replace(row, what=f"each of {len(files)} files")


def _meaning(code: int, why: str) -> str:
    """What to think of the end of a job that had rivals."""
    if code == Exit.DONE:
        return ": it is released"
    if why in ("run-superseded", "ledger-contended"):
        return f", {why}: another run has taken the release over, so this one stopped before its next effect"
    if code == -signal.SIGKILL:
        return ": it was killed"
    return f", {why}" if why else ""


def story(records: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The runs, and every effect that was not sent, accepted and seen by one and the same of them."""
    run, sent, ends = 0, dict[str, list[tuple[str, int]]](), dict[str, tuple[str, int]]()
    for record in records:
        kind, body = record["kind"], record["body"]
        if kind == "run":
            run = body["epoch"]
            by = _RACER.sub(r"publish job \1", body["by"])
            yield f"run {run}: {by}"
        elif kind == "intent":
            sent.setdefault(body["effect"], []).append(("no answer for", run))
        elif kind == "answer":
            sent[body["effect"]][-1] = f"{body['result']} for", run
        elif kind == "outcome":
            ends[body["effect"]] = body["result"], run
            if body["result"] == "unsent":
                sent[body["effect"]][-1] = "not sent by", run
    plain = 0
    for effect, tries in sent.items():
        result, seen = ends.get(effect, ("", 0))
        if tries == [("accepted for", seen)]:
            plain += 1
        else:
            heard = ", ".join(f"{answer} run {number}" for answer, number in tries)
            yield f"{effect}: {heard}; {f'{result}, as run {seen} saw' if seen else 'open'}"
    if plain:
        more = " more" if plain < len(sent) else ""
        yield f"{plain} effect{'s' * (plain > 1)}{more}: sent, accepted and seen by one run"


def _repeat(stream: IO[str], prefix: str, said: list[str]) -> None:
    for line in stream:
        said.append(line.rstrip("\n"))
        say(prefix + said[-1])


def say(text: str) -> None:
    """A line of the story, in its place between what the commands say."""
    print(text, flush=True)
