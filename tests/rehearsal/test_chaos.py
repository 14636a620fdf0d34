"""What can be made to go wrong in a rehearsal: each fault at the wire, the moments of a crash, and the account."""

from __future__ import annotations

import http.client
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit

import pytest

from releaser.rehearsal.chaos import STEPS, TROUBLES, Moment, Reaper, Step, account, mishap, moment
from releaser.rehearsal.server import CUT_OFF, Call, Fault, Faults, Journal, Request, Response, Service, route
from tests.cases import manifest

PUT = Step("put", ("box.put",), "something is put into the box", "the box took {what}")


class Box(Service):
    name: ClassVar[str] = "box"

    def __init__(self, root: Path) -> None:
        super().__init__(root, Journal(), Faults())
        self.held: list[bytes] = []
        self.filled = threading.Event()

    @route("PUT", "/box", "put")
    def put(self, request: Request) -> Response:
        self.held.append(request.read())
        self.filled.set()
        return Response(201)


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    service = Box(tmp_path)
    service.start()
    yield service
    service.stop()


def put(box: Box, text: str = "x") -> http.client.HTTPResponse | None:
    """The answer, None where the connection was closed without one."""
    connection = http.client.HTTPConnection(urlsplit(box.url).netloc, timeout=20)
    try:
        connection.request("PUT", "/box?name=it", text.encode())
        answer = connection.getresponse()
        answer.read()
        return answer
    except ConnectionError:
        return None
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("name", "status", "done", "recorded"),
    [
        ("lost-request", None, False, CUT_OFF),
        ("lost-answer", None, True, 201),
        ("error-after", 502, True, 201),
        ("busy", 429, False, 429),
        ("refused", 403, False, 403),
        ("slow", 201, True, 201),
    ],
)
def test_a_fault_does_and_answers_what_its_name_says(
    box: Box, name: str, status: int | None, done: bool, recorded: int
) -> None:
    box.faults.add(TROUBLES[name].at(Moment(PUT, 2)))
    first, second, third = put(box), put(box), put(box)
    assert (first and first.status, third and third.status) == (201, 201)
    assert (second and second.status) == status
    assert len(box.held) == 2 + done
    assert [call.status for call in box.journal.calls()] == [201, recorded, 201]
    assert (second.getheader("Retry-After") if second else None) == ("1" if name == "busy" else None)


def test_what_is_late_is_done_after_its_sender_was_cut_off(box: Box) -> None:
    box.faults.add(TROUBLES["late"].at(Moment(PUT)))
    began = time.monotonic()
    assert put(box) is None
    assert not box.held
    assert box.filled.wait(20)
    assert time.monotonic() - began >= TROUBLES["late"].delay


def test_a_fault_can_ask_for_more_than_the_operation(box: Box) -> None:
    box.faults.add(Fault("", "status", 418, times=9, matches=lambda call: call.about == "other"))
    answer = put(box)
    assert answer
    assert answer.status == 201


def test_each_fault_counts_every_request(box: Box) -> None:
    for name, nth in (("busy", 1), ("refused", 2), ("error-after", 4)):
        box.faults.add(TROUBLES[name].at(Moment(PUT, nth)))
    for _ in range(4):
        put(box)
    assert [call.status for call in box.journal.calls()] == [429, 403, 201, 201]
    assert box.faults.take(box.journal.calls()[0]) is None


@pytest.mark.parametrize(
    ("before", "words", "held"),
    [(True, "right before a put request (it) was handled", 1), (False, "right after the box took it", 2)],
)
def test_a_process_is_killed_at_its_moment(box: Box, before: bool, words: str, held: int) -> None:
    seen: list[tuple[str, int]] = []

    def said(moment: Moment, call: Call) -> None:
        seen.append((moment.told(call), len(box.held)))

    with Reaper(box.journal, [Moment(PUT, 2, before)], said) as reaper:
        assert reaper.wait(reaper.start(lambda: putting(box))) == -9
    assert seen == [(words, held)]
    assert reaper.left == []


def putting(box: Box) -> subprocess.Popen[bytes]:
    """A process that puts three things into the box, one after the other."""
    program = f"import http.client\nfor n in range(3):\n c=http.client.HTTPConnection({urlsplit(box.url).netloc!r})\n"
    program += " c.request('PUT','/box?name=it',b'x')\n c.getresponse()\n"
    return subprocess.Popen([sys.executable, "-c", program])


def test_a_moment_at_which_nothing_runs_is_left(box: Box) -> None:
    killed: list[str] = []
    moments = [Moment(PUT, 1, before=True), Moment(PUT, 1), Moment(PUT, 9)]
    with Reaper(box.journal, moments, lambda moment, _: killed.append(str(moment))) as reaper:
        count, counted = box.journal.watch, threading.Event()

        def watch(call: Call) -> None:
            count(call)
            counted.set()

        box.journal.watch = watch
        assert reaper.wait(reaper.start(lambda: putting(box))) == -9
        assert counted.wait(20)
        assert reaper.wait(reaper.start(lambda: putting(box))) == 0
    assert killed == ["put:1:before"]
    assert list(map(str, reaper.left)) == ["put:1", "put:9"]


def test_a_kill_after_what_was_not_done_is_told_as_that(box: Box) -> None:
    said: list[str] = []
    box.faults.add(TROUBLES["refused"].at(Moment(PUT)))
    with Reaper(box.journal, [Moment(PUT)], lambda moment, call: said.append(moment.told(call))) as reaper:
        assert reaper.wait(reaper.start(lambda: putting(box))) == -9
    assert said == ["right after a put request (it) failed"]


def test_what_still_runs_when_nobody_watches_any_more_is_killed(box: Box) -> None:
    with Reaper(box.journal, []) as reaper:
        child = reaper.start(lambda: subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE))
    assert child.wait() == -9
    assert child.stdin is not None
    child.stdin.close()


@pytest.mark.parametrize(
    ("text", "nth", "before"),
    [("pypi", 1, False), ("pypi:3", 3, False), ("pypi:before", 1, True), ("pypi:2:after", 2, False)],
)
def test_a_moment_is_a_step_a_number_and_a_side(text: str, nth: int, before: bool) -> None:
    assert moment(text) == Moment(STEPS["pypi"], nth, before)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("pypy", "did you mean pypi? There are: draft, asset"),
        ("pipy", "did you mean pypi?"),
        ("", "no step is called ''; there are: draft, asset"),
        ("pypi:0", "STEP:N:before, with N from 1"),
        ("pypi:10000", "with N from 1 to 9999"),
        ("pypi:x", "STEP:N:before"),
        ("pypi:before:2", "STEP:N:before"),
    ],
)
def test_what_is_no_moment_is_refused_with_what_there_is(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        moment(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lost-anser@pypi", "did you mean lost-answer?"),
        ("busy", "NAME@STEP"),
        ("busy@pypi:before", "NAME@STEP:N, with N from 1"),
        ("busy@pypi:0", "NAME@STEP:N, with N from 1"),
        ("busy@feet", "did you mean feed?"),
    ],
)
def test_what_is_no_fault_is_refused_with_what_there_is(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        mishap(text)


def calls(*about: tuple[str, str]) -> list[Call]:
    return [Call(operation, "PUT", "/", 200, name) for operation, name in about]


def test_the_account_has_what_is_missing_what_is_double_and_what_nobody_asked_for() -> None:
    given = manifest()
    files = [*(a.name for a in given.artifacts), "release.json", "SHA256SUMS"]
    wheels = [name for p in given.publications if p.registry == "pypi" for name in p.files]
    good = [("github.create-release", ""), ("github.update-release", ""), *(("github.upload-asset", f) for f in files)]
    sent = [("pypi.upload", name) for name in wheels]
    whole = calls(*good, *sent, ("github.upload-asset", "approval-1-approve.json"))
    assert {row.accepted for row in account(given, 1, whole)} == {1}

    def odd(*made: Call, approvals: int = 1) -> set[tuple[str, str, int]]:
        rows = account(given, approvals, made)
        return {(row.step, row.what, row.accepted) for row in rows if row.accepted != 1 or row.what == "stray"}

    assert odd(*whole, approvals=2) == {("approval", "of reviewer 2", 0)}
    assert odd(*whole, *calls(sent[0])) == {("pypi", wheels[0], 2)}
    assert odd(*calls(*good, *sent[1:]), approvals=0) == {("pypi", wheels[0], 0)}
    assert odd(*whole, *calls(("pypi.upload", "stray"))) == {("pypi", "stray", 1)}
