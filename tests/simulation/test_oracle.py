"""The oracle sees: stories that went well are doctored, one lie each, and it names the promise that the lie breaks."""

from __future__ import annotations

import ast
import hashlib
import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from releaser.engine.ports import Credential, Receipt, Sent
from releaser.model.facts import CheckState, Freeze
from tests.simulation.faults import Act, Strike
from tests.simulation.oracle import Evidence, judge
from tests.simulation.oracle_ledger import chain
from tests.simulation.play import play
from tests.simulation.scheduler import Event
from tests.simulation.story import Story, ends
from tests.world import EPOCH, in_memory

HERE = Path(__file__).parent
ORACLE = ("oracle.py", "oracle_guard.py", "oracle_ledger.py")
FIRST_SEND = "pypi.publish"
DENIED = Receipt(Sent.DENIED)


@cache
def good() -> Evidence:
    """What a release with a dependency and a tap leaves behind when nothing goes wrong."""
    evidence = play(Story(1, "python"), keep=True).evidence
    assert evidence is not None
    assert judge(evidence) == []
    return evidence


def numbered(events: Sequence[Event]) -> list[Event]:
    return [e._replace(step=n) for n, e in enumerate(events)]


def doctored(change: Callable[[Event], Event | None]) -> Evidence:
    """The good story with some events changed or, for None, left out."""
    changed = [change(e) for e in good().log]
    return replace(good(), log=numbered([e for e in changed if e is not None]))


def without(call: str, about: str = "") -> Evidence:
    return doctored(lambda e: None if e.call == call and about in str(e.args) else e)


def answering(call: str, result: object) -> Evidence:
    return doctored(lambda e: e._replace(result=result, truth=result) if e.call == call else e)


def again(call: str, times: int = 1, result: object = None, after: float = 0.0) -> Evidence:
    """The first send of the story, answered so, is made so many times more, *after* seconds later each.

    Each has an intent of its own, and what was answered is on record before.
    """
    log = list(good().log)
    at = next(n for n, e in enumerate(log) if e.call == call)
    intent = next(n for n in reversed(range(at)) if log[n].call == "ledger.extend")
    told = log[at]._replace(result=result or log[at].result)
    log[at] = told
    behind = next(n for n, e in enumerate(log) if n > at and e.call == "ledger.extend") + 1
    for number in range(times, 0, -1):
        log[behind:behind] = [e._replace(time=e.time + after * number) for e in (*log[intent:at], told)]
    return replace(good(), log=numbered(log))


def renewed(times: int, after: float = 600.0) -> Evidence:
    """The first file is denied and sent again so often, *after* seconds later each, with another right each time."""
    names = itertools.count()

    def changed(event: Event) -> Event:
        if event.call != "pypi.publish" or event.result != DENIED:
            return event
        right = Credential(f"right-{next(names)}", EPOCH.timestamp() + event.time + 900)
        return event._replace(args=(*event.args[:3], right, *event.args[4:]))

    evidence = again("pypi.publish", times, DENIED, after)
    return replace(evidence, log=numbered([changed(e) for e in evidence.log]))


def voting(change: Callable[[Any], Any | None]) -> Evidence:
    """Approvals on the release are shown changed, or not at all."""

    def shown(release: Any) -> Any:
        assets = [change(a) if a.name.startswith("approval-") else a for a in release.assets]
        return replace(release, assets=tuple(a for a in assets if a is not None))

    def changed(event: Event) -> Event:
        if event.call != "forge.releases":
            return event
        return event._replace(result=tuple(shown(r) for r in event.result))

    return doctored(changed)


def unseen() -> Evidence:
    return doctored(lambda e: None if e.call in ("pypi.observe", "pypi.visible") else e)


def unanswered(event: Event) -> Event:
    return event._replace(result=None, error=OSError()) if event.call == "pypi.observe" else event


def sent_by_another(event: Event) -> Event:
    """Everything that is recorded behind the claim is recorded by a run that did not claim."""
    claims = event.call == "ledger.extend" and b'"kind":"run"' not in event.args[1][0]
    return event._replace(process="another") if claims else event


def one_line(number: int, change: Callable[[bytes], bytes | None]) -> Evidence:
    lines = [change(line) if n == number else line for n, line in enumerate(good().lines)]
    return replace(good(), lines=[line for line in lines if line is not None])


def respelled(line: bytes) -> bytes:
    """The same record with a space in it, and the hash of that spelling."""
    record = json.loads(line)
    stated = b',"hash":"%b"' % record["hash"].encode()
    spaced = line.rstrip().replace(b'"kind":', b'"kind": ')
    digest = hashlib.sha256(spaced.replace(stated, b"")).hexdigest()
    return spaced.replace(record["hash"].encode(), digest.encode()) + b"\n"


def other_bytes(event: Event) -> Event:
    if event.call != FIRST_SEND:
        return event
    return event._replace(args=(*event.args[:2], in_memory("x", b"other"), *event.args[3:]))


def taken(name: str, digest: str) -> Evidence:
    """Registries took other bytes of ours under that name as well."""
    more = {r: [replace(a, digest=digest) for a in all_ if a.name == name] for r, all_ in good().arrived.items()}
    return replace(good(), arrived={r: [*all_, *more[r]] for r, all_ in good().arrived.items()})


@dataclass(frozen=True)
class Lie:
    invariant: str
    tell: Callable[[], Evidence]


LATER = Receipt(Sent.LATER, "429", 30.0)
UNKNOWN = Receipt(Sent.UNKNOWN)
LIES = {
    "two contents under one name": Lie("I1", lambda: taken("cog-1.2.0.tar.gz", "sha256:" + "0" * 64)),
    "two public releases of one tag": Lie("I1", lambda: replace(good(), public=2)),
    "sent again after it was accepted": Lie("I1", lambda: again("pypi.publish")),
    "sent where nobody looked": Lie("I1", lambda: without("pypi.observe", "coglet")),
    "sent where it could not be looked": Lie("I1", lambda: doctored(unanswered)),
    "one approval too few": Lie("I2", lambda: voting(lambda a: None if a.by.id == 10 else a)),
    "one person twice": Lie("I2", lambda: voting(lambda a: replace(a, by=a.by.model_copy(update={"id": 10})))),
    "approvals of a stranger": Lie("I2", lambda: answering_voter(roles=frozenset())),
    "approvals of a bot": Lie("I2", lambda: answering_voter(human=False)),
    "approvals of the tagger": Lie("I2", lambda: answering_voter(emails=frozenset({"tagger@example.invalid"}))),
    "rights that were not looked up": Lie("I2", lambda: without("forge.voter")),
    "approvals that are too old": Lie("I2", lambda: voting(lambda a: replace(a, at=EPOCH.replace(day=1)))),
    "another policy": Lie("I2", lambda: answering("forge.file", b"[approval]\n")),
    "other bytes are sent": Lie("I3", lambda: doctored(other_bytes)),
    "no intent": Lie("I4", lambda: without("ledger.extend", '"kind":"intent"')),
    "done without a look": Lie(
        "I5", lambda: doctored(lambda e: None if e.call in ("pypi.observe", "pypi.visible") else e)
    ),
    "the tag is not read again": Lie("I6", lambda: without("forge.tag")),
    "the policy is not read again": Lie("I6", lambda: without("forge.file")),
    "the files are not looked at again": Lie("I6", lambda: without("forge.releases")),
    "freezes are not looked for": Lie("I6", lambda: without("forge.freeze_of")),
    "a tag that is gone": Lie("I6", lambda: answering("forge.tag", None)),
    "a branch without the commit": Lie("I6", lambda: answering("forge.branches_with", ())),
    "a check that failed": Lie("I6", lambda: answering("forge.checks", {"ci-complete": CheckState.FAILURE})),
    "a freeze": Lie("I6", lambda: answering("forge.freeze_of", Freeze("", "wait", "somebody", EPOCH))),
    "a dependency that nobody sees": Lie("I7", lambda: without("pypi.visible", "coglet")),
    "files that nobody can download": Lie("I7", lambda: without("forge.is_public")),
    "an edited record": Lie("I10", lambda: one_line(3, lambda line: line.replace(b"2026", b"2027"))),
    "a record in another spelling": Lie("I10", lambda: one_line(3, respelled)),
    "a record less": Lie("I10", lambda: one_line(3, lambda _: None)),
    "a record that is cut": Lie("I10", lambda: one_line(3, lambda line: line[:20])),
    "records in another order": Lie("I10", lambda: replace(good(), lines=[*reversed(good().lines)])),
    "records of a run that did not claim": Lie("I11", lambda: doctored(sent_by_another)),
    "a secret that was told": Lie("I12", lambda: replace(good(), said="it is secret-of-pypi#1")),
    "a wait that is not kept": Lie("I13", lambda: again("pypi.publish", 1, LATER, 10.0)),
    "sent again too soon": Lie("I13", lambda: again("pypi.publish", 1, UNKNOWN, 60.0)),
    "sent again and again": Lie("I13", lambda: again("pypi.publish", 4, UNKNOWN, 600.0)),
    "sent again after a refusal": Lie("I13", lambda: again("pypi.publish", 1, Receipt(Sent.REFUSED), 600.0)),
    "sent again with the right that was denied": Lie("I13", lambda: again("pypi.publish", 1, DENIED, 600.0)),
    "denied again and again, with a new right each time": Lie("I13", lambda: renewed(4)),
    "a right that was denied while it was fresh is renewed": Lie("I13", lambda: renewed(1, 599.0)),
}


def answering_voter(**changes: Any) -> Evidence:
    def changed(event: Event) -> Event:
        return event._replace(result=replace(event.result, **changes)) if event.call == "forge.voter" else event

    return doctored(changed)


@pytest.mark.parametrize("name", LIES)
def test_a_lie_is_seen(name: str) -> None:
    lie = LIES[name]
    evidence = lie.tell()
    assert (evidence.log, evidence.lines) != (good().log, good().lines) or evidence != good()
    assert lie.invariant in {v.invariant for v in judge(evidence)}


def test_what_was_denied_may_be_sent_again_once_its_right_is_old() -> None:
    assert "I13" not in {v.invariant for v in judge(renewed(1))}


def test_a_second_send_for_one_intent_is_seen() -> None:
    log = list(good().log)
    at = next(n for n, e in enumerate(log) if e.call == "forge.publish")
    log.insert(at + 1, log[at])
    assert "I4" in {v.invariant for v in judge(replace(good(), log=numbered(log)))}


def test_an_empty_ledger_is_whole_and_a_torn_last_line_is_not_held_against_it() -> None:
    assert list(chain([])) == []
    assert list(chain([*good().lines, b'{"at":"20'])) == []


@pytest.mark.parametrize(
    ("story", "fired", "state", "may"),
    [
        (Story(1), (), "released", True),
        (Story(1), (), "needs human", False),
        (Story(1), (), "awaiting approval", False),
        (Story(1, voters=1), (), "awaiting approval", True),
        (Story(1, voters=1), (), "released", False),
        (Story(1), (Strike("forge.tag", Act.MOVE, move="move_tag"),), "voided", True),
        (Story(1), (Strike("pypi.publish", Act.LOST),), "partial", False),
        (Story(1), (Strike("pypi.publish", Act.BURNED),), "burned", True),
    ],
)
def test_an_end_needs_a_cause(story: Story, fired: tuple[Strike, ...], state: str, may: bool) -> None:
    assert (state in ends(story, fired)) is may


@pytest.mark.parametrize("name", ORACLE)
def test_the_oracle_knows_nothing_of_what_it_judges(name: str) -> None:
    imported = {
        node.module or "" for node in ast.walk(ast.parse((HERE / name).read_text())) if isinstance(node, ast.ImportFrom)
    } | {
        alias.name
        for node in ast.walk(ast.parse((HERE / name).read_text()))
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    assert {m for m in imported if m.startswith("releaser")} == set()
    assert {m for m in imported if m.startswith("tests.")} <= {
        "tests.simulation.oracle_guard",
        "tests.simulation.oracle_ledger",
        "tests.simulation.scheduler",
    }
