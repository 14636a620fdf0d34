"""Gate ``limits``: what a registry is known to refuse is found before the first upload to any."""

from __future__ import annotations

import pytest

from releaser.model.facts import Objection, Unobserved
from releaser.model.plan import Status
from releaser.policy.limits import limits
from tests.cases import FULL, case, full_files, one, statuses

BIG = Objection("core-pypi", "core.whl", "120 MiB", "at most 100 MiB", "split it")


def test_targets_without_an_objection_pass() -> None:
    rows = statuses(tuple(limits(case(text=FULL, artifacts=full_files()))))
    assert rows == [("core-crate", Status.PASS), ("core-pypi", Status.PASS), ("sdk", Status.PASS)]


def test_an_objection_blocks_its_target_and_shows_the_others() -> None:
    rows = tuple(limits(case(text=FULL, artifacts=full_files(), objections=(BIG,))))
    assert statuses(rows) == [("core.whl", Status.FAIL), ("core-crate", Status.PASS), ("sdk", Status.PASS)]
    assert (rows[0].reason, rows[0].found, rows[0].wanted, rows[0].hint) == (
        "core-pypi would be refused",
        "120 MiB",
        "at most 100 MiB",
        "split it",
    )


def test_every_objection_is_shown() -> None:
    again = Objection("core-pypi", "other.whl", "0 bytes", "at least 1")
    rows = limits(case(text=FULL, artifacts=full_files(), objections=(BIG, again)))
    assert [r.object for r in rows if r.status is Status.FAIL] == ["core.whl", "other.whl"]


def test_a_publication_without_a_file_is_refused() -> None:
    files = tuple(f for f in full_files() if not f.artifact.name.endswith(".crate"))
    (row,) = (r for r in limits(case(text=FULL, artifacts=files)) if r.status is Status.FAIL)
    assert (row.object, row.found) == ("core-crate", "no file in crate")


def test_files_that_a_registry_does_not_take_do_not_count() -> None:
    text = FULL.replace('files = "crate"', 'files = "cli"')
    (row,) = (r for r in limits(case(text=text, artifacts=full_files())) if r.status is Status.FAIL)
    assert (row.object, row.reason) == ("core-crate", "the publication has no file")


@pytest.mark.parametrize(
    ("fact", "status"),
    [
        pytest.param(Unobserved("no --artifacts"), Status.SKIP, id="none were given"),
        pytest.param(Unobserved("unreadable", failed=True), Status.WAIT, id="they could not be read"),
    ],
)
def test_unseen_artifacts_never_pass(fact: Unobserved, status: Status) -> None:
    assert one(tuple(limits(case(artifacts=fact)))).status is status
