"""The forge's clock, branches and freezes: what they cost, and answers that the rehearsal does not give."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from releaser.adapters.github import GitHub
from releaser.errors import ConfigError, ExternalError
from releaser.model.facts import Freeze
from releaser.rehearsal.github import GitHub as Rehearsal
from releaser.rehearsal.gitrepo import BareRepository, Person
from releaser.rehearsal.server import Fault, Faults, Journal

REPOSITORY = "acme/tool"
AUTHOR = Person("Ana", "ana@example.invalid", "2026-01-02T03:04:05Z")
AT = datetime(2027, 1, 15, 8, 0, tzinfo=UTC)


class World:
    """A rehearsal with one commit on the branch ``main``, and our forge in front of it."""

    def __init__(self, root: Path) -> None:
        self.journal = Journal()
        self.server = Rehearsal(root, self.journal, Faults())
        self.server.clock = AT.timestamp
        self.server.add_repository(REPOSITORY, 7, 70)
        token = self.server.add_actions_token(REPOSITORY)
        self.git: BareRepository = self.server.repository(REPOSITORY).git
        self.tree = self.git.write_tree(None, [("README.md", "100644", self.git.write_blob(b"hello\n"))])
        self.main = self.commit("main", "first")
        self.server.start()
        self.forge = GitHub(REPOSITORY, token, self.server.url, sleep=lambda _: None)

    def commit(self, branch: str, message: str, *parents: str) -> str:
        commit = self.git.write_commit(self.tree, parents, message, AUTHOR, AUTHOR)
        self.git.run("update-ref", f"refs/heads/{branch}", commit)
        return commit

    def asked(self) -> list[str]:
        return [call.operation.removeprefix("github.") for call in self.journal.calls()]


@contextmanager
def running(root: Path) -> Iterator[World]:
    world = World(root)
    yield world
    world.forge.close()
    world.server.stop()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with running(tmp_path) as world:
        yield world


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world for cases that leave nothing behind."""
    with running(tmp_path_factory.mktemp("lasting")) as world:
        yield world


def forge(**answers: Any) -> GitHub:
    """A forge on a network of answers by the last part of the path."""

    def answer(request: httpx.Request) -> httpx.Response:
        known = {"tool": {"id": 7, "full_name": REPOSITORY, "default_branch": "main"}, **answers}
        found = known[request.url.path.rpartition("/")[2].replace("-", "_")]
        return found if isinstance(found, httpx.Response) else httpx.Response(200, json=found)

    network = httpx.MockTransport(answer)
    return GitHub(REPOSITORY, "t", "https://api.example.invalid", sleep=lambda _: None, transport=network)


# Time


def just_after(found: datetime, moment: datetime) -> bool:
    """Whether *found* is *moment*, give or take the time that the test has taken since the answer."""
    return moment <= found < moment + timedelta(seconds=30)


def test_the_time_goes_on_from_that_of_the_latest_answer(world: World) -> None:
    first = world.forge.time()
    assert just_after(first, AT)
    assert world.asked() == ["get-repository"]
    world.server.clock = lambda: AT.timestamp() + 60.9
    assert first < world.forge.time() < AT + timedelta(seconds=30)
    assert world.forge.tag("v1") is None
    assert just_after(world.forge.time(), AT.replace(minute=1))


def repository(**headers: str) -> httpx.Response:
    body = {"id": 7, "full_name": REPOSITORY, "default_branch": "main"}
    return httpx.Response(200, json=body, headers=headers)


@pytest.mark.parametrize(
    "date",
    [
        pytest.param("Fri, 15 Jan 2027 08:00:00 GMT", id="as RFC 9110 has it"),
        pytest.param("Fri, 15 Jan 2027 09:00:00 +0100", id="with an offset"),
        pytest.param("Fri, 15 Jan 2027 08:00:00 -0000", id="of no zone"),
    ],
)
def test_a_date_is_read_in_utc(date: str) -> None:
    with closing(forge(tool=repository(date=date))) as github:
        assert just_after(github.time(), AT)
        assert github.time().tzinfo is UTC


@pytest.mark.parametrize("date", ["", "soon", "Fri, 99 Jan 2027 08:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 -2300"])
def test_without_a_date_the_time_is_not_known(date: str) -> None:
    with closing(forge(tool=repository(date=date))) as github, pytest.raises(ExternalError) as caught:
        github.time()
    assert (caught.value.code, caught.value.found) == ("forge-answer-unreadable", "no Date in the answer")


# Branches


def test_a_branch_that_is_named_costs_two_requests(world: World) -> None:
    assert world.forge.branches_with(world.main, ["main", "other"]) == ("main",)
    assert world.asked() == ["get-ref", "compare"]


def test_branches_by_pattern_are_listed_once_and_compared_until_one_fits(world: World) -> None:
    for name in ("release/1.0/x", "release/1.1", "release/1.2", "releases"):
        world.commit(name, name)
    fix = world.commit("release/1.1", "fix", world.commit("release/1.1", "base"))
    assert world.forge.branches_with(fix, ["release/*"]) == ("release/1.1",)
    assert world.asked() == ["list-refs", "compare"]


@pytest.mark.parametrize(
    "fault", [Fault("github.compare", "status", 500, times=9), Fault("github.list-refs", "status", 502, times=9)]
)
def test_what_cannot_be_looked_up_is_not_taken_for_absent(world: World, fault: Fault) -> None:
    world.server.faults.add(fault)
    with pytest.raises(ExternalError) as caught:
        world.forge.branches_with(world.main, ["m*"])
    assert caught.value.code == "forge-unreachable"


# Freezes


def test_that_nothing_is_frozen_costs_one_request(world: World) -> None:
    assert world.forge.freeze_of("v1") is None
    assert world.asked() == ["list-refs"]


def test_a_job_may_freeze(world: World) -> None:
    assert world.forge.freeze("v1", "why") == Freeze("v1", "why", "github-actions[bot]", AT)


def test_a_message_alone_is_a_reason(world: World) -> None:
    world.git.move("refs/releaser/freeze/all", world.main, None)
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert world.forge.freeze_of("v1") == Freeze("", "first", "Ana", at)


@pytest.mark.parametrize(
    "name", ["refs/releaser/freezer", "refs/releaser/freeze/tag/v1.0", "refs/releaser/freeze/none"]
)
def test_a_reference_of_another_name_freezes_nothing(world: World, name: str) -> None:
    world.git.move(name, world.main, None)
    assert world.forge.freeze_of("v1") is None


def test_a_freeze_that_cannot_be_read_is_not_taken_for_none(world: World) -> None:
    world.git.move("refs/releaser/freeze/all", world.git.write_blob(b"x"), None)
    with pytest.raises(ExternalError):
        world.forge.freeze_of("v1")
    assert world.forge.thaw(None)
    assert world.forge.freeze_of("v1") is None


def test_an_empty_repository_has_no_freezes(world: World) -> None:
    world.server.add_repository("acme/empty", 8, 70)
    token = world.server.add_actions_token("acme/empty")
    with closing(GitHub("acme/empty", token, world.server.url)) as github:
        assert github.freeze_of("v1") is None


HAND = {"name": "Ana", "date": "2026-01-02T03:04:05Z"}


@pytest.mark.parametrize(
    ("account", "author", "by"),
    [
        pytest.param({"login": "ana"}, HAND, "ana", id="an account"),
        pytest.param(None, HAND, "Ana", id="no account"),
        pytest.param({}, HAND, "Ana", id="an empty account"),
        pytest.param(None, None, "somebody", id="nobody"),
    ],
)
def test_who_froze_is_the_forges_word(account: Any, author: Any, by: str) -> None:
    inner = {"message": "freeze\n\nwhy", "tree": {"sha": "t"}, "author": author, "committer": HAND}
    commits = [{"sha": "c", "commit": inner, "author": account, "parents": []}]
    refs = [{"ref": "refs/releaser/freeze/all", "object": {"sha": "c", "type": "commit"}}]
    with closing(forge(freeze=refs, commits=commits)) as github:
        found = github.freeze_of("v1")
    assert found == Freeze("", "why", by, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))


@pytest.mark.parametrize(
    "answers",
    [
        pytest.param({"freeze": {}}, id="no list of references"),
        pytest.param({"commits": []}, id="no commit"),
        pytest.param({"commits": {}}, id="no list of commits"),
        pytest.param(
            {"commits": [{"sha": "c", "commit": {"message": "m", "tree": {"sha": "t"}}, "parents": []}]}, id="no time"
        ),
    ],
)
def test_an_answer_of_another_shape_is_an_error(answers: dict[str, Any]) -> None:
    refs = [{"ref": "refs/releaser/freeze/all", "object": {"sha": "c", "type": "commit"}}]
    with closing(forge(**{"freeze": refs, **answers})) as github, pytest.raises(ExternalError) as caught:
        github.freeze_of("v1")
    assert caught.value.code == "forge-answer-unreadable"


# Names

BAD = ["", "a b", "a..b", "../../../heads/main", "a/../b", ".a", "a/.b", "a.lock", "a.lock/b", "a.", "a/", "/a", "a//b"]
BAD += ["a~1", "a^", "a:b", "a?b", "a*", "a[b", "a\\b", "a@{b", "a\nb", "a\x7f"]


@pytest.mark.parametrize("tag", BAD, ids=ascii)
def test_what_git_takes_for_no_name_is_never_sent(lasting: World, tag: str) -> None:
    before = lasting.asked()
    assert not lasting.git.is_ref_name(f"refs/releaser/freeze/tag/{tag}")
    assert lasting.forge.tag(tag) is None
    for work in (lambda: lasting.forge.freeze(tag, "why"), lambda: lasting.forge.thaw(tag)):
        with pytest.raises(ConfigError) as caught:
            work()
        assert caught.value.code == "ref-invalid"
    assert lasting.asked() == before


@pytest.mark.parametrize("tag", ["a", "rel/1.0", "a+b", "a%2Fb", "a#b", "a@b", "@", "ä", "a{b", "a&b=c", "a.b", "-a"])
def test_whatever_git_takes_for_a_name_can_be_frozen(lasting: World, tag: str) -> None:
    assert lasting.git.is_ref_name(f"refs/releaser/freeze/tag/{tag}")
    frozen = lasting.forge.freeze(tag, "why")
    assert lasting.git.ref(f"refs/releaser/freeze/tag/{tag}") is not None
    assert lasting.forge.freeze_of(tag) == frozen
    assert lasting.forge.thaw(tag)
