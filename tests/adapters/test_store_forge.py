"""Ledgers on a reference of the repository: what is not a chain of records, what it costs, and every refusal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from releaser.adapters.store_forge import ForgeStore
from releaser.engine.ledger import Ledger
from releaser.engine.ports import Store
from releaser.errors import ConfigError, ExternalError, ReleaserError, WaitingError
from releaser.rehearsal.github import GitHub as Rehearsal
from releaser.rehearsal.gitrepo import BareRepository, Person
from releaser.rehearsal.server import Fault, Faults, Journal
from tests.world import Clock, Power

REPOSITORY, TAG, REF = "acme/tool", "v1.2.3", "refs/releaser/ledger/v1.2.3"
TOKEN = "ghp_" + "s" * 36
AUTHOR = Person("Ana", "ana@example.invalid", "2026-01-02T03:04:05Z")
LINE, MORE = b'{"seq":0}\n', b'{"seq":1}\n'


class World:
    """A rehearsal with one repository and one commit, and the stores that were opened in it."""

    def __init__(self, root: Path) -> None:
        self.journal = Journal()
        self.server = Rehearsal(root / "github", self.journal, Faults())
        self.server.add_repository(REPOSITORY, 7, 70)
        self.job = self.server.add_actions_token(REPOSITORY)
        self.git: BareRepository = self.server.repository(REPOSITORY).git
        self.tree = self.git.write_tree(None, [("README.md", "100644", self.git.write_blob(b"hello\n"))])
        self.main = self.commit("first")
        self.git.move("refs/heads/main", self.main, None)
        self.server.start()
        self._stores: list[ForgeStore] = []

    def commit(self, message: str, *parents: str) -> str:
        return self.git.write_commit(self.tree, parents, message, AUTHOR, AUTHOR)

    def store(self) -> ForgeStore:
        self._stores.append(ForgeStore(REPOSITORY, self.job, self.server.url, TAG, sleep=lambda _: None))
        return self._stores[-1]

    def close(self) -> None:
        for store in self._stores:
            store.close()
        self.server.stop()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


def broken(store: Store) -> str:
    with pytest.raises(ConfigError) as caught:
        Ledger(store, Clock(Power()), "run 1")
    return caught.value.code


def test_the_port_is_implemented(world: World) -> None:
    port: Store = world.store()
    assert (port.name, port.read()) == (f"{REPOSITORY} {REF}", [])


# The chain


def test_a_ledger_of_several_pages_is_read_whole_and_in_order(world: World) -> None:
    parents: list[str] = []
    for number in range(120):
        parents = [world.commit(f'releaser ledger\n\n{{"seq":{number}}}\n', *parents)]
    world.git.move(REF, parents[0], None)
    store = world.store()
    assert store.read() == [b'{"seq":%d}\n' % number for number in range(120)]
    assert len(world.journal.calls("github.list-commits")) == 2
    assert store.extend(120, [LINE])


def test_a_run_takes_over_from_another_one(world: World) -> None:
    first = Ledger(world.store(), Clock(Power()), "run 1")
    first.claim()
    second = Ledger(world.store(), Clock(Power()), "run 2")
    second.claim()
    with pytest.raises(WaitingError) as caught:
        first.append([("run", {"epoch": 3, "by": "run 1"})])
    assert caught.value.code == "run-superseded"
    assert [r["body"]["by"] for r in Ledger(world.store(), Clock(Power()), "").entries()] == ["run 1", "run 2"]


def test_a_claim_whose_answer_is_lost_is_found_again(world: World) -> None:
    Ledger(world.store(), Clock(Power()), "run 1").claim()
    world.server.faults.add(Fault("github.update-ref", "drop"))
    second = Ledger(world.store(), Clock(Power()), "run 2")
    second.claim()
    assert second.epoch == 2
    assert len(world.store().read()) == 2


def test_lines_that_took_the_place_of_others_are_not_built_upon(world: World) -> None:
    first = world.store()
    assert first.read() == []
    assert first.extend(0, [b'{"seq":0}\n'])
    assert first.extend(1, [b'{"seq":1}\n'])
    assert len(first.read()) == 2
    root = world.commit('releaser ledger\n\n{"seq":0}\n')
    tip = world.commit('releaser ledger\n\n{"seq":"another"}\n', root)
    assert world.git.move(REF, tip, world.git.commit_of(REF))
    assert not first.extend(2, [LINE])
    assert world.store().read() == [b'{"seq":0}\n', b'{"seq":"another"}\n']


Arrange = Callable[[World], str]
FOREIGN: dict[str, Arrange] = {
    "a commit of a branch": lambda w: w.main,
    "a line that is no record": lambda w: w.commit("releaser ledger\n\nnothing"),
    "a record and something else": lambda w: w.commit(f"releaser ledger\n\n{LINE.decode()}and more"),
    "records on top of a branch": lambda w: w.commit(f"releaser ledger\n\n{LINE.decode()}", w.main),
    "a merge": lambda w: w.commit(f"x\n\n{MORE.decode()}", w.commit(f"x\n\n{LINE.decode()}"), w.main),
    "an annotated tag": lambda w: w.git.write_tag("v1", w.main, "commit", "m", AUTHOR),
    "a file": lambda w: w.git.write_blob(b"{}"),
}


@pytest.mark.parametrize("arrange", FOREIGN.values(), ids=FOREIGN)
def test_what_is_no_chain_of_records_is_no_ledger(world: World, arrange: Arrange) -> None:
    world.git.move(REF, arrange(world), None)
    assert broken(world.store()) == "ledger-broken"


def test_a_long_history_that_is_no_ledger_is_not_read_to_its_end(world: World) -> None:
    tip = world.main
    for number in range(101):
        tip = world.commit(f"change {number}", tip)
    world.git.move(REF, tip, None)
    assert broken(world.store()) == "ledger-broken"
    assert len(world.journal.calls("github.list-commits")) == 1


def test_what_is_added_costs_two_requests(world: World) -> None:
    store = world.store()
    counts = []
    for after in (0, 2, 4):
        assert not store.read() or after
        before = len(world.journal.calls())
        assert store.extend(after, [LINE, LINE])
        counts.append(len(world.journal.calls()) - before)
    assert counts == [3, 2, 2]  # the first needs some tree


def test_the_ledger_outlives_its_tag(world: World) -> None:
    """There is no tag in this world at all."""
    assert world.store().extend(0, [LINE])
    assert world.store().read() == [LINE]


# Answers that the rehearsal does not give


class Wire:
    """A network with a ledger of one record; *answers* come first, by method and end of the path."""

    def __init__(self, answers: dict[str, tuple[int, Any]]) -> None:
        self.asked: list[str] = []
        self._answers = answers
        self.store = ForgeStore(
            REPOSITORY, TOKEN, "https://api.example.invalid", TAG, transport=httpx.MockTransport(self._answer)
        )

    def _answer(self, request: httpx.Request) -> httpx.Response:
        what = f"{request.method} {request.url.path.removeprefix(f'/repos/{REPOSITORY}/')}"
        self.asked.append(what)
        known: dict[str, tuple[int, Any]] = {
            "GET git/ref/releaser/ledger/v1.2.3": (200, {"ref": REF, "object": {"sha": "1" * 40, "type": "commit"}}),
            "GET commits": (200, [shown("1" * 40, LINE)]),
            "POST git/commits": (201, {"sha": "2" * 40}),
            "PATCH git/refs/releaser/ledger/v1.2.3": (200, {}),
        }
        status, body = (known | self._answers)[what]
        return httpx.Response(status, json=body)


def shown(sha: str, text: bytes, parents: Sequence[str] = ()) -> dict[str, Any]:
    inner = {"message": f"releaser ledger\n\n{text.decode()}", "tree": {"sha": "t" * 40}}
    return {"sha": sha, "commit": inner, "parents": [{"sha": parent} for parent in parents]}


COMMIT, MOVE, READ = "POST git/commits", "PATCH git/refs/releaser/ledger/v1.2.3", "GET git/ref/releaser/ledger/v1.2.3"
LIMIT = {"message": "You have exceeded a secondary rate limit."}


@pytest.mark.parametrize(
    ("answers", "kind", "code", "retryable"),
    [
        pytest.param({COMMIT: (403, {"message": "no"})}, ConfigError, "ledger-unwritable", None, id="not permitted"),
        pytest.param({MOVE: (404, {"message": "no"})}, ConfigError, "ledger-unwritable", None, id="not visible"),
        pytest.param({COMMIT: (401, {})}, ExternalError, "forge-unauthorized", False, id="a token nobody has"),
        pytest.param({COMMIT: (403, LIMIT)}, ExternalError, "forge-rate-limited", True, id="secondary limit"),
        pytest.param({MOVE: (429, {})}, ExternalError, "forge-rate-limited", True, id="limit at the reference"),
        pytest.param({COMMIT: (502, {})}, ExternalError, "forge-write-unknown", True, id="502 for the commit"),
        pytest.param({MOVE: (500, {})}, ExternalError, "forge-write-unknown", True, id="500 for the reference"),
        pytest.param({COMMIT: (422, {"message": "?"})}, ExternalError, "forge-refused", False, id="a bad commit"),
        pytest.param({MOVE: (422, {"message": "?"})}, ExternalError, "forge-refused", False, id="a rule"),
        pytest.param({COMMIT: (201, {})}, ExternalError, "forge-answer-unreadable", True, id="no SHA"),
    ],
)
def test_every_failure_to_add_has_a_code(
    answers: dict[str, tuple[int, Any]], kind: type[ReleaserError], code: str, retryable: bool | None
) -> None:
    store = Wire(answers).store
    assert store.read() == [LINE]
    with pytest.raises(kind) as caught:
        store.extend(1, [MORE])
    assert (caught.value.code, getattr(caught.value, "retryable", None)) == (code, retryable)
    assert TOKEN not in f"{caught.value} {vars(caught.value)}"
    if code == "ledger-unwritable":
        assert "contents: write" in caught.value.hint


@pytest.mark.parametrize(
    "words", ["Update is not a fast forward", "Reference does not exist", "Reference already exists"]
)
def test_a_reference_that_is_elsewhere_is_no_failure_whatever_a_lagging_read_shows(words: str) -> None:
    store = Wire({MOVE: (422, {"message": words})}).store
    assert store.read() == [LINE]
    assert not store.extend(1, [MORE])


@pytest.mark.parametrize("status", [409, 422])
def test_new_words_are_understood_by_looking_where_the_reference_is(status: int) -> None:
    answers: dict[str, tuple[int, Any]] = {MOVE: (status, {"message": "The reference moved on"})}
    wire = Wire(answers)
    assert wire.store.read() == [LINE]
    answers[READ] = (200, {"ref": REF, "object": {"sha": "9" * 40, "type": "commit"}})
    assert not wire.store.extend(1, [MORE])


@pytest.mark.parametrize(
    "listed",
    [
        pytest.param([], id="nothing"),
        pytest.param([shown("1" * 40, LINE, ["0" * 40])], id="the root is missing"),
        pytest.param([shown("3" * 40, LINE)], id="another commit first"),
        pytest.param([shown("1" * 40, LINE, ["0" * 40]), shown("5" * 40, LINE)], id="a gap"),
        pytest.param({}, id="no list"),
        pytest.param([{"sha": "1" * 40}], id="no message"),
    ],
)
def test_a_history_with_gaps_is_not_taken_for_a_ledger(listed: Any) -> None:
    with pytest.raises(ExternalError) as caught:
        Wire({"GET commits": (200, listed)}).store.read()
    assert (caught.value.code, caught.value.retryable) == ("forge-answer-unreadable", True)


@pytest.mark.parametrize("end", ["", "\n", "\n\n"])
def test_a_message_may_come_back_with_another_end(end: str) -> None:
    listed = [shown("1" * 40, LINE + MORE.rstrip() + end.encode())]
    assert Wire({"GET commits": (200, listed)}).store.read() == [LINE, MORE]
