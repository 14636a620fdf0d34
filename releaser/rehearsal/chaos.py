"""What can be made to go wrong in a rehearsal, in plain words: crashes at the steps of a release, faults of a service.

A *step* is a kind of request that changes the world. Steps are counted at the servers, and what is counted there is
what happened, whatever a killed process knew of it.
"""

from __future__ import annotations

import re
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Protocol, TypeVar

from releaser.model.manifest import Manifest
from releaser.rehearsal.server import Call, Fault, Journal

LATE = 1.0
SLOW = 2.0
"""Seconds."""


@dataclass(frozen=True, slots=True)
class Step:
    """A kind of request to one of ``operations``, or any, whose address and subject have the pattern ``where``.

    ``about`` says for a list what it does, ``done`` for a story that it was done: ``{what}`` is the file that it
    was about, ``{place}`` the repository.
    """

    name: str
    operations: tuple[str, ...]
    about: str
    done: str
    where: str = ""

    def has(self, call: Call) -> bool:
        ours = not self.operations or call.operation in self.operations
        return ours and re.search(self.where, f"{call.path} {call.about}") is not None

    def told(self, call: Call) -> str:
        """In words, that the step was done."""
        return self.done.format(what=call.about, place=_place(call))


@dataclass(frozen=True, slots=True)
class Moment:
    """Right after the *nth* request of a step had its effect and before it is answered; or right ``before`` it."""

    step: Step
    nth: int = 1
    before: bool = False

    def __str__(self) -> str:
        return f"{self.step.name}:{self.nth}" + (":before" if self.before else "")

    def told(self, call: Call) -> str:
        """In words, when it was."""
        if not self.before and call.status < 300:
            return f"right after {self.step.told(call)}"
        request = f"a {self.step.name} request" + (f" ({call.about})" if call.about else "")
        return f"right before {request} was handled" if self.before else f"right after {request} failed"


@dataclass(frozen=True, slots=True)
class Trouble:
    """A kind of fault, as people know it. The other fields are those of `Fault`."""

    name: str
    about: str
    kind: str
    status: int = 503
    delay: float = 0.0
    headers: Mapping[str, str] = field(default_factory=dict)

    def at(self, moment: Moment) -> Fault:
        """This fault at the *nth* request of a step."""
        name = f"{self.name}@{moment}"
        return Fault(
            name, self.kind, self.status, self.delay, 1, moment.nth - 1, dict(self.headers), matches=moment.step.has
        )


@dataclass(frozen=True, slots=True)
class Mishap:
    """A trouble at the *nth* request of a step."""

    trouble: Trouble
    moment: Moment

    def __str__(self) -> str:
        return f"{self.trouble.name}@{self.moment}"

    def fault(self) -> Fault:
        """What makes it happen, once."""
        return self.trouble.at(self.moment)

    def told(self, call: Call) -> str:
        """In words, what happened to *call*."""
        about = f" ({call.about})" if call.about else ""
        return f"{self.trouble.name} at {self.moment}{about}: {self.trouble.about}"


_APPROVAL = r" approval-"
_HEADS = r"/git/refs/heads/"
_LEDGER = r"releaser/ledger/"
_UPLOAD = ("github.upload-asset",)
_REFS = ("github.create-ref", "github.update-ref")
_RIGHTS = ("pypi.mint-token", "crates.exchange", "npm.exchange")

STEPS = {
    step.name: step
    for step in (
        Step("draft", ("github.create-release",), "the draft release is made", "the forge made the draft"),
        Step("asset", _UPLOAD, "a file is put on the draft", "the forge took {what}", r" (?!approval-)"),
        Step("approval", _UPLOAD, "a decision is put on the draft", "the forge took {what}", _APPROVAL),
        Step("exchange", _RIGHTS, "an identity becomes a right to publish", "a registry gave a right to publish"),
        Step("undraft", ("github.update-release",), "the release becomes public", "the release became public"),
        Step("pypi", ("pypi.upload",), "a file goes to the Python index", "the index took {what}"),
        Step("crate", ("crates.publish",), "a crate is published", "the crate registry took the crate"),
        Step("npm", ("npm.publish",), "a package goes to npm", "npm took the package"),
        Step("tap-commit", ("github.update-ref",), "a tap gets its commit", "{place} took the commit", _HEADS),
        Step("pull-request", ("github.create-pull",), "a tap gets a pull request", "{place} took the pull request"),
        Step("feed", ("chocolatey.push",), "a package goes to the Chocolatey feed", "the feed took the package"),
        Step("ledger", _REFS, "the ledger gets records", "the ledger took records", _LEDGER),
    )
}
"""Every step that has a name, in the order of a release."""

TROUBLES = {
    trouble.name: trouble
    for trouble in (
        Trouble("lost-request", "it never arrives, and the connection closes", "lose"),
        Trouble("lost-answer", "it is done, and the connection closes before the answer", "drop"),
        Trouble("error-after", "it is done, and answered with 502", "lie", 502),
        Trouble("busy", "it is not done: 429, try again in a second", "status", 429, headers={"Retry-After": "1"}),
        Trouble("refused", "it is not done: 403", "status", 403),
        Trouble("late", "the connection closes, and it is done a second later", "late", delay=LATE),
        Trouble("slow", "it is done, two seconds late", "slow", delay=SLOW),
    )
}
"""Every fault that has a name."""


def moment(text: str) -> Moment:
    """``STEP[:N][:before|after]``; raises ValueError with what there is instead."""
    name, *rest = text.split(":")
    step = _known(name, STEPS, "step")
    when = rest.pop() if rest and rest[-1] in ("before", "after") else "after"
    return Moment(step, _number(text, rest, "STEP, STEP:N or STEP:N:before"), when == "before")


def mishap(text: str) -> Mishap:
    """``NAME@STEP[:N]``; raises ValueError with what there is instead."""
    name, _, where = text.partition("@")
    trouble = _known(name, TROUBLES, "fault")
    form = "NAME@STEP or NAME@STEP:N"
    if not where:
        raise ValueError(f"{text!r} is not of the form {form}")
    step, *rest = where.split(":")
    return Mishap(trouble, Moment(_known(step, STEPS, "step"), _number(text, rest, form)))


def _number(text: str, rest: Sequence[str], form: str) -> int:
    """N, which is all that is left of *text*, or 1."""
    if len(rest) > 1 or not re.fullmatch(r"[1-9]\d{0,3}", count := "".join(rest) or "1"):
        raise ValueError(f"{text!r} is not of the form {form}, with N from 1 to 9999")
    return int(count)


_T = TypeVar("_T")


def _known(name: str, table: Mapping[str, _T], kind: str) -> _T:
    if name in table:
        return table[name]
    near = get_close_matches(name, table, 1, cutoff=0.5)
    meant = f", did you mean {near[0]}? There are: " if near else "; there are: "
    raise ValueError(f"no {kind} is called {name!r}{meant}{', '.join(table)}")


class Child(Protocol):
    """A running command, as `subprocess.Popen` is one."""

    def kill(self) -> None: ...
    def wait(self) -> int: ...


C = TypeVar("C", bound=Child)


class Reaper:
    """Kills all running commands (SIGKILL) at each of *moments*, once: the request's answer finds nobody.

    *tell* is called then. A moment at which nothing runs, as when the sender of its request was killed before, does
    not come again. A context manager: requests are counted while it is open, and what still runs at its end is killed
    too.
    """

    def __init__(
        self, journal: Journal, moments: Iterable[Moment], tell: Callable[[Moment, Call], None] = lambda _m, _c: None
    ) -> None:
        self._journal = journal
        self._left = {moment: moment.nth for moment in moments}
        self._tell = tell
        self._lock = threading.Lock()
        self._children: list[Child] = []

    def __enter__(self) -> Reaper:
        self._journal.arriving = lambda call: self._see(call, before=True)
        self._journal.watch = lambda call: self._see(call, before=False)
        return self

    def __exit__(self, *_: object) -> None:
        self._journal.arriving = self._journal.watch = lambda _: None
        self._kill()

    @property
    def left(self) -> Sequence[Moment]:
        """The moments at which nothing was killed."""
        return list(self._left)

    def start(self, launch: Callable[[], C]) -> C:
        """A command on its way, which can be killed from its first request on."""
        with self._lock:
            child = launch()
            self._children.append(child)
        return child

    def wait(self, child: Child) -> int:
        """The exit code of a command that was started here."""
        code = child.wait()
        with self._lock:
            self._children = [other for other in self._children if other is not child]
        return code

    def _see(self, call: Call, *, before: bool) -> None:
        with self._lock:
            for moment in [m for m in self._left if m.before == before and m.step.has(call)]:
                self._left[moment] -= 1
                if not self._left[moment] and self._kill():
                    del self._left[moment]
                    self._tell(moment, call)

    def _kill(self) -> bool:
        """Whether anything was still running."""
        for child in self._children:
            child.kill()
        codes = [child.wait() for child in self._children]
        self._children = []
        return -signal.SIGKILL in codes


@dataclass(frozen=True, slots=True)
class Row:
    """One effect of a release, and how often the servers accepted it."""

    step: str
    what: str
    accepted: int


_ONCE = ("draft", "asset", "approval", "undraft", "pypi", "crate", "npm", "tap-commit", "pull-request", "feed")


def account(manifest: Manifest, approvals: int, calls: Iterable[Call]) -> Sequence[Row]:
    """Every effect that a whole release has, counted among the accepted *calls*; one that it does not have, too."""
    wanted = [("draft", ""), *(("asset", name) for name in manifest.assets())]
    wanted.append(("undraft", ""))
    step = {"pypi": "pypi", "crates.io": "crate", "npm": "npm"}
    for publication in manifest.publications:
        names = publication.files if publication.registry == "pypi" else ("",)
        wanted += [(step[publication.registry], name) for name in names]
    via = {"commit": "tap-commit", "pull-request": "pull-request", "push": "feed"}
    proposed = {entry.repository for entry in manifest.downstream if entry.via == "pull-request"}
    wanted += [(via[e.via], "" if e.via == "push" else e.repository) for e in manifest.downstream]
    found: Counter[tuple[str, str]] = Counter()
    for call in calls:
        name = next((name for name in _ONCE if STEPS[name].has(call)), "")
        what = _place(call) if name in ("tap-commit", "pull-request") else call.about
        if name and not (name == "tap-commit" and what in proposed):
            found[name, what if name in ("asset", "approval", "pypi", "tap-commit", "pull-request") else ""] += 1
    cast = [key for key in found if key[0] == "approval"]
    missing = [("approval", f"of reviewer {n + 1}") for n in range(len(cast), approvals)]
    keys = dict.fromkeys([*wanted, *cast, *missing, *found])
    return [Row(*key, found[key]) for key in sorted(keys, key=lambda key: (_ONCE.index(key[0]), key[1]))]


def _place(call: Call) -> str:
    """The repository that a request is about."""
    found = re.match(r"(?:/uploads)?/repos/([^/]+/[^/]+)", call.path)
    return found[1] if found else ""
