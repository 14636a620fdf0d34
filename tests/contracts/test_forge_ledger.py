"""The forge as the keeper of ledgers and freezes: references of our own, and commits as a chain.

docs.github.com/rest (git/refs, git/commits, commits), docs.github.com/authentication (commit signature verification:
bots), RFC 9110 section 6.6.1.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import quote

import httpx
import pytest

from releaser.adapters.github import GitHub
from releaser.adapters.store_forge import ForgeStore
from releaser.errors import ExternalError
from tests.contracts.forges import EMULATE, OWNER, TOOL, Home, fixtures, outcome, refused, said
from tests.contracts.table import REHEARSAL, Documented, Instead

TITLE = "GitHub: ledgers, freezes, ancestry, time"
FIRST, SECOND, THIRD = b'{"seq":0}\n', b'{"seq":1,"text":"\xc3\xa4 \xe2\x80\xa8 #"}\n', b'{"seq":2}\n'

home = fixtures(REHEARSAL, EMULATE)
Opener = Callable[..., ForgeStore]


@pytest.fixture
def tag(home: Home) -> str:
    """A tag that git allows and addresses do not."""
    return f"rel/{home.fresh()}+a#%2F&b"


@pytest.fixture
def run(home: Home, request: pytest.FixtureRequest) -> Opener:
    """One more run that opens the ledger of a tag."""

    def opened(tag: str, by: str = OWNER, transport: httpx.BaseTransport | None = None) -> ForgeStore:
        token = home.tokens.get(by, by)
        store = ForgeStore(TOOL, token, home.url, tag, sleep=lambda _: None, transport=transport)
        request.addfinalizer(store.close)
        return store

    return opened


class Lost(httpx.BaseTransport):
    """The network, which loses one *method* request to a *place*, or only the answer to it."""

    def __init__(self, method: str, place: str, *, arrives: bool) -> None:
        self._network = httpx.HTTPTransport()
        self._lost: tuple[str, str] | None = (method, place)
        self._arrives = arrives

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        method, place = self._lost or ("", "")
        if request.method != method or place not in request.url.path:
            return self._network.handle_request(request)
        self._lost = None
        if self._arrives:
            self._network.handle_request(request).read()
        raise httpx.ReadError("connection reset", request=request)

    def close(self) -> None:
        self._network.close()


# The ledger


def test_chain(home: Home, run: Opener, tag: str) -> None:
    """Records are commits without a branch: each one's parent has those before it, the first has none"""
    ours = run(tag)
    assert (ours.read(), ours.head) == ([], "")
    assert ours.extend(0, [FIRST])
    root = ours.head
    assert ours.extend(1, [SECOND, THIRD])
    again = run(tag)
    assert again.read() == [FIRST, SECOND, THIRD]
    assert again.head == ours.head
    shown = home.call("GET", f"git/commits/{ours.head}").json()
    assert [parent["sha"] for parent in shown["parents"]] == [root]
    assert home.call("GET", f"git/commits/{root}").json()["parents"] == []
    assert shown["message"] == f"releaser ledger of {tag}: records 1 to 2\n\n{(SECOND + THIRD).decode()}".rstrip("\n")
    named = [ref["ref"] for ref in home.call("GET", "git/matching-refs/releaser/ledger").json()]
    assert f"refs/releaser/ledger/{tag}" in named
    branches = home.call("GET", "branches", params={"per_page": "100"}).json()
    assert [b["name"] for b in branches if "ledger" in b["name"]] == []


def test_ledgers_apart(run: Opener, tag: str) -> None:
    """A ledger of another tag is another ledger, also where one name begins with the other"""
    assert run(tag).extend(0, [FIRST])
    assert run(f"{tag}0").read() == []
    assert run(f"{tag}0").extend(0, [SECOND])
    assert run(tag).read() == [FIRST]


@pytest.mark.parametrize("before", [[], [FIRST]], ids=["a new ledger", "an old one"])
def test_race(run: Opener, tag: str, before: list[bytes]) -> None:
    """Of two runs that add behind the same record one is told no, and what the other added stays"""
    one, other = run(tag), run(tag)
    assert not before or one.extend(0, before)
    assert (one.read(), other.read()) == (before, before)
    assert one.extend(len(before), [SECOND])
    assert not other.extend(len(before), [THIRD])
    assert other.read() == run(tag).read() == [*before, SECOND]
    assert other.extend(len(before) + 1, [THIRD])
    assert not one.extend(len(before) + 1, [FIRST])
    assert run(tag).read() == [*before, SECOND, THIRD]


def test_where_it_ends(run: Opener, tag: str) -> None:
    """Nothing is added behind a number of records that are not there"""
    assert not run(tag).extend(1, [FIRST])
    assert run(tag).extend(0, [FIRST, SECOND])
    assert [run(tag).extend(after, [THIRD]) for after in (0, 1, 3)] == [False] * 3
    assert run(tag).read() == [FIRST, SECOND]


@pytest.mark.parametrize(
    ("method", "place", "before"),
    [("POST", "/git/refs", []), ("PATCH", "/git/refs", [FIRST]), ("POST", "/git/commits", [FIRST])],
    ids=["the first", "a later one", "the commit alone"],
)
@pytest.mark.parametrize("arrives", [True, False], ids=["answer lost", "request lost"])
def test_unknown(run: Opener, tag: str, method: str, place: str, before: list[bytes], arrives: bool) -> None:
    """After an answer that never came reading tells whether the record is there, and the run goes on"""
    assert not before or run(tag).extend(0, before)
    ours = run(tag, transport=Lost(method, place, arrives=arrives))
    with pytest.raises(ExternalError) as caught:
        ours.extend(len(before), [SECOND])
    assert (caught.value.code, caught.value.retryable) == ("forge-write-unknown", True)
    if not arrives or place == "/git/commits":
        assert ours.read() == before
    ours.extend(len(before), [SECOND])  # in the same second it is the same commit, and no news to the forge
    assert ours.read() == [*before, SECOND]
    assert ours.extend(len(before) + 1, [THIRD])
    assert run(tag).read() == [*before, SECOND, THIRD]


def test_rewritten(home: Home, run: Opener, tag: str) -> None:
    """A chain that somebody moved to other commits is read as what it is now, and nothing is lost silently"""
    ours = run(tag)
    assert ours.extend(0, [FIRST])
    assert ours.extend(1, [SECOND])
    moved = home.call("PATCH", f"git/refs/releaser/ledger/{quote(tag)}", json={"sha": home.head, "force": True})
    assert moved.status_code == 200, moved.text
    assert not ours.extend(2, [THIRD])
    assert all(not line.startswith(b"{") for line in run(tag).read())


def test_not_ours(run: Opener, tag: str) -> None:
    """Who may only read is told the permission to add"""
    assert run(tag).extend(0, [FIRST])
    stranger = run(tag, by="eve")
    assert stranger.read() == [FIRST]
    assert outcome(lambda: stranger.extend(1, [SECOND])) == "ledger-unwritable"
    assert run(tag).read() == [FIRST]


def test_signed(home: Home, documented: Documented, run: Opener, tag: str) -> None:
    """What a job commits in its own name is signed for it; what is said to be by somebody else is not"""
    job = "job" if home.world else OWNER
    store = run(tag, by=job)
    assert store.extend(0, [FIRST])
    shown = home.call("GET", f"git/commits/{store.head}").json()
    assert shown["verification"]["verified"] is documented(True, emulate=Instead(False, "it signs nothing"))
    assert shown["author"]["name"] == documented(
        "github-actions[bot]", emulate=Instead(OWNER, "it knows no jobs; a person commits there")
    )
    ana = {"name": "Ana", "email": "ana@example.invalid", "date": "2026-01-02T03:04:05Z"}
    sent = {"message": "m", "tree": shown["tree"]["sha"], "parents": [], "author": ana}
    other = home.call("POST", "git/commits", by=job, json=sent).json()
    assert (other["author"]["name"], other["verification"]["verified"]) == ("Ana", False)


# What it is made of


def test_custom_refs(home: Home, documented: Documented) -> None:
    """A ref outside of branches and tags is made once and moves forward only"""
    name, old = f"releaser/test/{home.fresh()}", home.head
    new = home.commit(home.branch())
    assert home.call("POST", "git/refs", json={"ref": f"refs/{name}", "sha": old}).status_code == 201
    again = home.call("POST", "git/refs", json={"ref": f"refs/{name}", "sha": new})
    assert said(again) == "422 Reference already exists"
    assert home.call("PATCH", f"git/refs/{name}", json={"sha": new, "force": False}).status_code == 200
    back = home.call("PATCH", f"git/refs/{name}", json={"sha": old, "force": False})
    assert said(back) == refused(documented, "422 Update is not a fast forward", "422 Update is not a fast-forward")
    assert home.call("GET", f"git/ref/{name}").json()["object"]["sha"] == new
    assert home.call("DELETE", f"git/refs/{name}").status_code == 204
    assert home.call("GET", f"git/ref/{name}").status_code == 404
    flat = home.call("POST", "git/refs", json={"ref": "refs/flat", "sha": old})
    assert said(flat) == refused(documented, "422 Reference name is not valid", "201")


def test_list_commits(home: Home) -> None:
    """Commits are listed from a SHA on, newest first, page by page, down to the root"""
    branch = home.branch()
    made = [home.commit(branch) for _ in range(3)]
    shas, page = [], 1
    while True:
        answer = home.call("GET", "commits", params={"sha": made[-1], "per_page": "2", "page": str(page)})
        shas += [commit["sha"] for commit in answer.json()]
        if 'rel="next"' not in answer.headers.get("link", ""):
            break
        page += 1
    assert shas[:3] == made[::-1]
    assert home.call("GET", f"git/commits/{shas[-1]}").json()["parents"] == []
    (newest,) = home.call("GET", "commits", params={"per_page": "1"}).json()
    assert newest["sha"] == home.head
    assert newest["author"]["login"] == newest["committer"]["login"] == OWNER
    assert home.call("GET", "commits", params={"sha": "0" * 40}).status_code == 404


def test_compare_page(home: Home) -> None:
    """A comparison tells its whole length, whatever the size of the page"""
    base, branch = home.head, home.branch()
    made = [home.commit(branch) for _ in range(3)]
    for size, page, expected in ((1, 1, made[:1]), (2, 2, made[2:])):
        params = {"per_page": str(size), "page": str(page)}
        shown = home.call("GET", f"compare/{base}...{made[-1]}", params=params).json()
        assert (shown["status"], shown["ahead_by"], shown["total_commits"]) == ("ahead", 3, 3)
        assert [commit["sha"] for commit in shown["commits"]] == expected


# Freezes


def test_freeze(home: Home) -> None:
    """A release is frozen by itself or with all others, until each freeze is thawed"""
    ana, octo, one, other = home.forge("ana"), home.forge(), home.fresh(), home.fresh()
    before = datetime.now(UTC) - timedelta(seconds=2)
    assert octo.freeze_of(one) is None
    own = ana.freeze(one, "wheels crash\non arm64")
    assert (own.tag, own.reason, own.by) == (one, "wheels crash\non arm64", "ana")
    assert before < own.at < before + timedelta(minutes=1)
    assert octo.freeze(one, "me too") == octo.freeze_of(one) == own
    assert octo.freeze_of(other) is octo.freeze_of(one[:-1]) is None
    whole = octo.freeze(None, "a token leaked")
    assert (whole.tag, whole.by) == ("", OWNER)
    assert (ana.freeze_of(one), ana.freeze_of(other)) == (own, whole)
    assert ana.thaw(one)
    assert ana.freeze_of(one) == whole
    assert ana.thaw(None)
    assert (ana.freeze_of(one), ana.thaw(one), ana.thaw(None)) == (None, False, False)


def test_freeze_by_git(home: Home) -> None:
    """A freeze that somebody made with git alone holds as well"""
    tag = home.fresh()
    made = home.call("POST", "git/refs", json={"ref": f"refs/releaser/freeze/tag/{tag}", "sha": home.head})
    assert made.status_code == 201, made.text
    found = home.forge().freeze_of(tag)
    assert found is not None
    assert (found.reason, found.by) == (home.call("GET", f"git/commits/{home.head}").json()["message"], OWNER)
    assert home.forge().thaw(tag)


def test_freeze_race(home: Home) -> None:
    """Of two who freeze at once both are told the one freeze that stands"""
    tag = home.fresh()

    class Meanwhile(httpx.BaseTransport):
        """The network, on which somebody else freezes just before we do."""

        def __init__(self) -> None:
            self._network = httpx.HTTPTransport()

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            if request.method == "POST" and request.url.path.endswith("/git/refs"):
                self.theirs = home.forge("ana").freeze(tag, "theirs")
            return self._network.handle_request(request)

        def close(self) -> None:
            self._network.close()

    network = Meanwhile()
    forge = GitHub(TOOL, home.tokens[OWNER], home.url, transport=network)
    assert forge.freeze(tag, "ours") == network.theirs
    assert forge.thaw(tag)
    forge.close()


def test_freeze_stranger(home: Home) -> None:
    """Who may not write can neither freeze nor thaw"""
    tag = home.fresh()
    assert outcome(lambda: home.forge("eve").freeze(tag, "no")) == "forge-forbidden"
    home.forge().freeze(tag, "yes")
    assert outcome(lambda: home.forge("eve").thaw(tag)) == "forge-forbidden"
    assert home.forge("eve").freeze_of(tag) is not None


# Ancestry and time


def test_branches_with(home: Home) -> None:
    """A branch has a commit when its tip is that commit or descends from it"""
    base, forge = home.head, home.forge()
    topic, other = home.branch(), home.branch()
    ours, theirs = home.commit(topic), home.commit(other)
    assert forge.branches_with(base, ["main"]) == ("main",)
    assert forge.branches_with(base, [topic]) == (topic,)
    assert forge.branches_with(ours, ["main"]) == ()
    assert forge.branches_with(ours, ["main", topic]) == (topic,)
    assert forge.branches_with(ours, ["topic/*"]) == (topic,)
    assert forge.branches_with(theirs, ["**"]) == (other,)
    assert forge.branches_with(theirs, ["*", "gone", "gone/*", topic]) == ()
    assert forge.branches_with(home.commit(topic), [other]) == ()
    assert forge.branches_with(ours, ["t[a-o]pic/*", "topi?/*"]) == (topic,)


def test_branches_apart(home: Home) -> None:
    """A commit that has nothing in common with a branch, or does not exist, is not on it"""
    tree = home.call("GET", f"git/commits/{home.head}").json()["tree"]["sha"]
    alone = home.call("POST", "git/commits", json={"message": "alone", "tree": tree, "parents": []}).json()["sha"]
    assert home.forge().branches_with(alone, ["main"]) == ()
    assert home.forge().branches_with("0" * 40, ["main"]) == ()


def test_time(home: Home) -> None:
    """Answers are dated by the forge's clock"""
    dated = parsedate_to_datetime(home.call("GET", "branches").headers["date"])
    forge = home.forge()
    assert timedelta(0) <= forge.time() - dated < timedelta(minutes=1)
    assert forge.time().tzinfo is UTC
