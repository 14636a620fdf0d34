"""The forge: GitHub as the rehearsal serves it, and the answers that only the real one gives."""

from __future__ import annotations

import hashlib
import json
import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from releaser.adapters.github import ACTIONS, GitHub
from releaser.engine.ports import Asset, Forge, Release
from releaser.errors import ConfigError, ConflictError, ExternalError
from releaser.model.facts import CheckState, Tag
from releaser.model.manifest import Person
from releaser.rehearsal.github import GitHub as Rehearsal
from releaser.rehearsal.gitrepo import BareRepository
from releaser.rehearsal.gitrepo import Person as Author
from releaser.rehearsal.server import Fault, Faults, Journal

REPOSITORY = "acme/tool"
ANA = Person(id=11, login="Ana")
AUTHOR = Author("Ana", "ana@example.invalid", "2026-01-02T03:04:05Z")


class World:
    """A rehearsal with one repository, its people, and their forges."""

    def __init__(self, root: Path) -> None:
        self.faults = Faults()
        self.journal = Journal()
        self.server = Rehearsal(root / "github", self.journal, self.faults)
        self.clock = 1_800_000_000
        self.server.clock = lambda: self.clock
        self.tokens = {"ana": self.server.add_user("Ana", 11), "eve": self.server.add_user("eve", 12)}
        self.server.add_user("robot[bot]", 13, "Bot")
        self.server.add_repository(REPOSITORY, 7, 70)
        self.server.grant("Ana", REPOSITORY, "maintain")
        self.server.add_team("acme/release-crew", ["Ana"])
        self.tokens["job"] = self.server.add_actions_token(REPOSITORY)
        self.commit = self.write("main", {"README.md": b"hello\n", "docs/guide.md": b"read me\n"})
        self.server.start()
        self.waits: list[float] = []
        self._forges: list[GitHub] = []

    @property
    def git(self) -> BareRepository:
        return self.server.repository(REPOSITORY).git

    def write(self, branch: str, files: dict[str, bytes]) -> str:
        changes = [(path, "100644", self.git.write_blob(data)) for path, data in files.items()]
        tip = self.git.ref(f"refs/heads/{branch}")
        tree = self.git.write_tree(tip.sha if tip else None, changes)
        commit = self.git.write_commit(tree, [tip.sha] if tip else [], "change", AUTHOR, AUTHOR)
        assert self.git.move(f"refs/heads/{branch}", commit, tip.sha if tip else None)
        return commit

    def forge(self, who: str = "ana", repository: str = REPOSITORY, **arguments: Any) -> GitHub:
        token = self.tokens.get(who, who)
        self._forges.append(GitHub(repository, token, self.server.url, sleep=self.waits.append, **arguments))
        return self._forges[-1]

    def close(self) -> None:
        for forge in self._forges:
            forge.close()
        self.server.stop()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


@pytest.fixture
def forge(world: World) -> GitHub:
    return world.forge()


def draft(forge: Forge, world: World, tag: str = "v1.2.3") -> Release:
    return forge.create_draft(tag, world.commit, "1.2.3", "notes", prerelease=False)


def made(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def ignore(_: int) -> None:
    """Progress nobody looks at."""


# The repository


def test_a_repository_is_known_by_its_number(forge: GitHub) -> None:
    found = forge.repository()
    assert (found.id, found.name, found.default_branch) == (7, REPOSITORY, "main")


def test_a_request_behind_the_end_of_its_connections_is_not_sent(world: World, forge: GitHub) -> None:
    forge.repository()
    network = forge._rest._open()[1]  # as a thread has it in hand when another one closes
    forge.close()
    asked = len(world.journal.calls())
    with pytest.raises(httpx.ConnectError, match="closed"):
        network.handle_request(httpx.Request("GET", world.server.url))
    assert forge.repository().id == 7
    assert len(world.journal.calls()) == asked + 1


def test_a_lightweight_tag_is_its_commit(world: World, forge: GitHub) -> None:
    world.git.move("refs/tags/v1.2.3", world.commit, None)
    assert forge.tag("v1.2.3") == Tag("v1.2.3", world.commit, world.commit, annotated=False)


def test_a_nested_annotated_tag_is_peeled_and_keeps_the_outer_tagger(world: World, forge: GitHub) -> None:
    inner = world.git.write_tag("inner", world.commit, "commit", "m", Author("Bo", "bo@example.invalid", AUTHOR.date))
    outer = world.git.write_tag("rel/v1", inner, "tag", "m", AUTHOR)
    world.git.move("refs/tags/rel/v1", outer, None)
    assert forge.tag("rel/v1") == Tag("rel/v1", outer, world.commit, annotated=True, tagger="ana@example.invalid")


def test_a_tag_of_a_longer_name_is_another_tag(world: World, forge: GitHub) -> None:
    world.git.move("refs/tags/v1.2.30", world.commit, None)
    assert forge.tag("v1.2.3") is None


def test_a_tag_on_a_blob_is_no_release_tag(world: World, forge: GitHub) -> None:
    world.git.move("refs/tags/v1", world.git.write_blob(b"x"), None)
    with pytest.raises(ExternalError) as caught:
        forge.tag("v1")
    assert (caught.value.code, caught.value.found) == ("tag-not-a-commit", "blob")


def test_an_empty_repository_has_no_tags(world: World) -> None:
    world.server.add_repository("acme/empty", 8, 70)
    assert world.forge(repository="acme/empty").tag("v1") is None


@pytest.mark.parametrize(
    ("path", "ref", "content"),
    [
        pytest.param("docs/guide.md", "main", b"read me\n", id="at a branch"),
        pytest.param("docs/none.md", "main", None, id="no such file"),
        pytest.param("docs", "main", None, id="a folder"),
        pytest.param("README.md", "nowhere", None, id="no such ref"),
    ],
)
def test_files_are_bytes_at_a_ref(forge: GitHub, path: str, ref: str, content: bytes | None) -> None:
    assert forge.file(path, ref) == content


def test_a_file_is_read_at_the_commit_that_is_named(world: World, forge: GitHub) -> None:
    later = world.write("main", {"README.md": b"bye\n"})
    assert forge.file("README.md", world.commit) == b"hello\n"
    assert forge.commit_of("main") == later


def test_a_branch_that_is_missing_has_no_tip(forge: GitHub) -> None:
    with pytest.raises(ExternalError) as caught:
        forge.commit_of("gone")
    assert (caught.value.code, caught.value.retryable) == ("branch-missing", False)


def test_a_repository_out_of_sight_is_not_an_empty_one(world: World) -> None:
    """404 stands for both; "there is no such tag" may only be said of what can be seen."""
    world.server.add_repository("acme/secret", 9, 70, private=True)
    with pytest.raises(ExternalError) as caught:
        world.forge("eve", "acme/secret").tag("v1")
    assert (caught.value.code, caught.value.wanted) == ("forge-forbidden", "contents: read")


# Checks


@pytest.mark.parametrize(
    ("conclusion", "state"),
    [
        ("success", CheckState.SUCCESS),
        ("skipped", CheckState.SKIPPED),
        ("neutral", CheckState.SKIPPED),
        (None, CheckState.PENDING),
        ("failure", CheckState.FAILURE),
        ("cancelled", CheckState.FAILURE),
        ("timed_out", CheckState.FAILURE),
        ("action_required", CheckState.FAILURE),
        ("stale", CheckState.FAILURE),
    ],
)
def test_check_runs(world: World, forge: GitHub, conclusion: str | None, state: CheckState) -> None:
    world.server.set_check(REPOSITORY, world.commit, "ci", conclusion)
    assert forge.checks(world.commit) == {"ci": state}


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("success", CheckState.SUCCESS),
        ("pending", CheckState.PENDING),
        ("failure", CheckState.FAILURE),
        ("error", CheckState.FAILURE),
    ],
)
def test_commit_statuses(world: World, forge: GitHub, state: str, expected: CheckState) -> None:
    set_status(world, "circle", state)
    assert forge.checks(world.commit) == {"circle": expected}


def test_the_newest_of_a_name_counts(world: World, forge: GitHub) -> None:
    world.server.set_check(REPOSITORY, world.commit, "ci", "success", app_id=1)
    world.clock += 60
    world.server.set_check(REPOSITORY, world.commit, "ci", "failure", app_id=1)
    set_status(world, "lint", "failure")
    world.clock += 60
    set_status(world, "lint", "success")
    assert forge.checks(world.commit) == {"ci": CheckState.FAILURE, "lint": CheckState.SUCCESS}


@pytest.mark.parametrize("first", ["failure", None])
def test_another_giver_of_the_same_name_hides_nothing(world: World, forge: GitHub, first: str | None) -> None:
    """Who may write statuses, or has an app, may use any name."""
    world.server.set_check(REPOSITORY, world.commit, "ci", first, app_id=1)
    world.clock += 60
    world.server.set_check(REPOSITORY, world.commit, "ci", "success", app_id=2)
    set_status(world, "ci", "success")
    assert forge.checks(world.commit) == {"ci": CheckState.PENDING if first is None else CheckState.FAILURE}


def test_a_commit_without_checks_has_none(world: World, forge: GitHub) -> None:
    assert forge.checks(world.commit) == {}


def set_status(world: World, context: str, state: str) -> None:
    url = f"{world.server.url}/repos/{REPOSITORY}/statuses/{world.commit}"
    headers = {"Authorization": f"Bearer {world.tokens['ana']}"}
    httpx.post(url, json={"state": state, "context": context}, headers=headers).raise_for_status()


# Releases and their files


def test_drafts_of_a_tag_are_found_oldest_first(world: World, forge: GitHub) -> None:
    first, second = draft(forge, world), draft(forge, world)
    draft(forge, world, "v9")
    assert forge.releases("v1.2.3") == (first, second)
    assert (first.draft, first.name, first.body, first.prerelease) == (True, "1.2.3", "notes", False)


def test_what_is_uploaded_comes_back(world: World, forge: GitHub, tmp_path: Path) -> None:
    content = bytes(range(256)) * 12_000  # some 3 MB: several chunks
    release, sent, received = draft(forge, world), list[int](), list[int]()

    asset = forge.upload(release, "tool.tar.gz", made(tmp_path / "a", content), sent.append)
    forge.download(asset, tmp_path / "b", received.append)

    assert (tmp_path / "b").read_bytes() == content
    assert sum(sent) == sum(received) == asset.size == len(content)
    assert len(sent) > 2
    assert asset.digest == "sha256:" + hashlib.sha256(content).hexdigest()
    assert (asset.complete, asset.by, asset.human) == (True, ANA, True)
    assert forge.releases("v1.2.3")[0].assets == (asset,)


def test_a_file_that_was_deleted_since_is_missing(world: World, forge: GitHub, tmp_path: Path) -> None:
    asset = forge.upload(draft(forge, world), "a", made(tmp_path / "a", b"x"), ignore)
    forge.remove(asset)
    with pytest.raises(ExternalError) as caught:
        forge.download(asset, tmp_path / "b", ignore)
    assert (caught.value.code, caught.value.found, caught.value.retryable) == ("asset-missing", "HTTP 404", True)
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("operation", ["get-asset", "object"])
def test_a_file_that_may_not_be_read_is_not_called_missing(
    world: World, forge: GitHub, tmp_path: Path, operation: str
) -> None:
    asset = forge.upload(draft(forge, world), "a", made(tmp_path / "a", b"x"), ignore)
    world.faults.add(Fault(f"github.{operation}", "status", status=403, times=99))
    with pytest.raises(ExternalError) as caught:
        forge.download(asset, tmp_path / "b", ignore)
    assert (caught.value.code, caught.value.retryable) == ("forge-forbidden", False)


def test_released_tags_are_those_of_public_releases(world: World, forge: GitHub) -> None:
    draft(forge, world, "v3")
    for tag in ("v1", "v2"):
        forge.publish(draft(forge, world, tag), latest=False)
    assert forge.released() == ("v1", "v2")


def test_a_name_is_taken_once(world: World, forge: GitHub, tmp_path: Path) -> None:
    release = draft(forge, world)
    kept = forge.upload(release, "tool", made(tmp_path / "a", b"ours"), ignore)
    with pytest.raises(ConflictError) as caught:
        forge.upload(release, "tool", made(tmp_path / "b", b"theirs"), ignore)
    assert caught.value.code == "asset-exists"
    assert forge.releases("v1.2.3")[0].assets == (kept,)


def test_a_name_that_github_rewrites_is_an_error(world: World, forge: GitHub, tmp_path: Path) -> None:
    with pytest.raises(ExternalError) as caught:
        forge.upload(draft(forge, world), "tool+x", made(tmp_path / "a", b"x"), ignore)
    assert (caught.value.code, caught.value.found) == ("asset-renamed", "tool.x")


def test_a_failed_upload_leaves_a_ghost_that_can_be_removed(world: World, forge: GitHub, tmp_path: Path) -> None:
    release, file = draft(forge, world), made(tmp_path / "a", b"ours")
    world.faults.add(Fault("github.upload-asset", "status", status=502))
    with pytest.raises(ExternalError) as caught:
        forge.upload(release, "tool", file, ignore)
    (ghost,) = forge.releases("v1.2.3")[0].assets
    assert (caught.value.code, caught.value.retryable) == ("forge-write-unknown", True)
    assert (ghost.name, ghost.complete, ghost.digest) == ("tool", False, "")

    forge.remove(ghost)
    forge.remove(ghost)  # gone already
    forge.upload(release, "tool", file, ignore)

    assert [a.complete for a in forge.releases("v1.2.3")[0].assets] == [True]


@pytest.mark.parametrize("kind", ["drop", "lie"])
def test_a_write_without_an_answer_is_sent_once_and_unknown(
    world: World, forge: GitHub, tmp_path: Path, kind: str
) -> None:
    release = draft(forge, world)
    world.faults.add(Fault("github.upload-asset", kind))
    with pytest.raises(ExternalError) as caught:
        forge.upload(release, "tool", made(tmp_path / "a", b"ours"), ignore)
    assert (caught.value.code, caught.value.retryable) == ("forge-write-unknown", True)
    assert len(world.journal.calls("github.upload-asset")) == 1
    assert [a.name for a in forge.releases("v1.2.3")[0].assets] == ["tool"]


def test_a_download_never_writes_to_what_is_there(world: World, forge: GitHub, tmp_path: Path) -> None:
    asset = forge.upload(draft(forge, world), "tool", made(tmp_path / "a", b"ours"), ignore)
    target = made(tmp_path / "target", b"precious")
    (tmp_path / "link").symlink_to(target)
    with pytest.raises(ConfigError) as caught:
        forge.download(asset, tmp_path / "link", ignore)
    assert caught.value.code == "file-exists"
    assert target.read_bytes() == b"precious"


def test_a_download_is_begun_again_after_a_failure(world: World, forge: GitHub, tmp_path: Path) -> None:
    asset = forge.upload(draft(forge, world), "tool", made(tmp_path / "a", b"ours"), ignore)
    world.faults.add(Fault("github.object", "drop"))
    steps: list[int] = []
    forge.download(asset, tmp_path / "b", steps.append)
    assert (tmp_path / "b").read_bytes() == b"ours"
    assert (sum(steps), world.waits) == (4, [1.0])


def test_publication_makes_files_public_and_leaves_the_text_alone(world: World, forge: GitHub, tmp_path: Path) -> None:
    release = draft(forge, world)
    hidden = forge.upload(release, "tool", made(tmp_path / "a", b"ours"), ignore)
    assert not forge.is_public(hidden)

    published = forge.publish(release, latest=True)

    assert (published.draft, published.name, published.body) == (False, "1.2.3", "notes")
    assert forge.is_public(published.assets[0])
    assert world.git.commit_of("v1.2.3") == world.commit


@pytest.mark.parametrize(("latest", "expected"), [(True, "v1"), (False, "v2")], ids=["moves", "stays"])
def test_latest_moves_only_when_told(world: World, forge: GitHub, latest: bool, expected: str) -> None:
    forge.publish(draft(forge, world, "v2"), latest=True)
    forge.publish(draft(forge, world, "v1"), latest=latest)
    found = httpx.get(f"{world.server.url}/repos/{REPOSITORY}/releases/latest", headers={"User-Agent": "test"}).json()
    assert found["tag_name"] == expected


def test_a_second_published_release_of_a_tag_is_declined(world: World, forge: GitHub) -> None:
    forge.publish(draft(forge, world), latest=True)
    with pytest.raises(ExternalError) as caught:
        forge.publish(draft(forge, world), latest=True)
    assert (caught.value.code, caught.value.retryable) == ("forge-refused", False)
    assert "already_exists" in caught.value.found


def test_without_the_right_to_write_nothing_is_made(world: World) -> None:
    with pytest.raises(ExternalError) as caught:
        draft(world.forge("eve"), world)
    assert (caught.value.code, caught.value.wanted, caught.value.retryable) == (
        "forge-forbidden",
        "contents: write",
        False,
    )
    assert world.forge().releases("v1.2.3") == ()


# People


@pytest.mark.parametrize(("who", "person"), [("ana", ANA), ("job", ACTIONS)], ids=["a user", "an Actions job"])
def test_we_know_who_we_are(world: World, who: str, person: Person) -> None:
    assert world.forge(who).whoami() == person


def test_a_rate_limit_does_not_make_us_the_actions_bot() -> None:
    wire = Wire(user=says(403, {"message": "API rate limit exceeded"}))
    with pytest.raises(ExternalError, match="forge-rate-limited"):
        wire.forge.whoami()


@pytest.mark.parametrize(
    ("roles", "held"),
    [
        pytest.param(["user:ana"], {"user:ana"}, id="a login in other case"),
        pytest.param(["user:eve"], set(), id="another login"),
        pytest.param(["team:acme/release-crew"], {"team:acme/release-crew"}, id="a member"),
        pytest.param(["team:acme/owners"], set(), id="no member"),
        pytest.param(
            ["role:write", "role:maintain", "role:admin"],
            {"role:write", "role:maintain"},
            id="roles include lower ones",
        ),
        pytest.param([], set(), id="nothing asked"),
    ],
)
def test_a_voter_has_the_roles_that_they_hold(forge: GitHub, roles: list[str], held: set[str]) -> None:
    voter = forge.voter(ANA, roles)
    assert (voter.id, voter.login, voter.human, voter.roles) == (11, "Ana", True, frozenset(held))
    assert voter.emails == {"11+Ana@users.noreply.github.com", "Ana@users.noreply.github.com"}


def test_a_role_that_was_taken_back_is_not_held(world: World) -> None:
    world.server.grant("Ana", REPOSITORY, "triage")
    assert world.forge("job").voter(ANA, ["role:write"]).roles == frozenset()


def test_a_bot_is_not_human(forge: GitHub) -> None:
    assert not forge.voter(Person(id=13, login="robot[bot]"), []).human


@pytest.mark.parametrize(
    ("operation", "roles"),
    [
        pytest.param("github.get-user", ["user:Ana"], id="the profile"),
        pytest.param("github.get-permission", ["user:Ana", "role:write"], id="the permission"),
        pytest.param("github.get-membership", ["team:acme/release-crew"], id="the team"),
    ],
)
@pytest.mark.parametrize("status", [403, 500])
def test_roles_that_cannot_be_looked_up_are_unknown(
    world: World, forge: GitHub, operation: str, roles: list[str], status: int
) -> None:
    world.faults.add(Fault(operation, "status", status=status, times=4))
    assert forge.voter(ANA, roles).roles is None


def test_a_login_that_changed_hands_has_unknown_roles(forge: GitHub) -> None:
    voter = forge.voter(Person(id=99, login="Ana"), ["user:ana", "role:write"])
    assert (voter.id, voter.human, voter.roles, voter.emails) == (99, False, None, frozenset())


def test_an_account_that_is_gone_holds_nothing(forge: GitHub) -> None:
    voter = forge.voter(Person(id=98, login="nobody"), ["user:nobody"])
    assert (voter.human, voter.roles) == (False, frozenset())


# Failures


def test_reads_are_repeated_until_they_work(world: World, forge: GitHub) -> None:
    world.faults.add(Fault("github.get-repository", "status", status=503, times=3))
    assert forge.repository().id == 7
    assert world.waits == [1.0, 2.0, 4.0]


def test_reads_are_not_repeated_for_ever(world: World, forge: GitHub) -> None:
    world.faults.add(Fault("github.get-repository", "status", status=503, times=99))
    with pytest.raises(ExternalError) as caught:
        forge.repository()
    assert (caught.value.code, caught.value.retryable) == ("forge-unreachable", True)
    assert len(world.journal.calls("github.get-repository")) == 4


def test_a_token_nobody_has_is_not_shown(world: World) -> None:
    with pytest.raises(ExternalError) as caught:
        world.forge("ghp_" + "x" * 36).repository()
    assert (caught.value.code, caught.value.retryable) == ("forge-unauthorized", False)
    assert "ghp_" not in f"{caught.value} {vars(caught.value)}"
    assert world.waits == []


def test_many_threads_share_one_forge(world: World, forge: GitHub) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: forge.commit_of("main"), range(24))) == {world.commit}


# Answers that the rehearsal does not give

API = "https://api.example.invalid"
TOKEN = "ghp_" + "s" * 36


class Wire:
    """A network of answers by path; keeps what was asked, with who asked."""

    def __init__(self, api: str = API, /, **answers: Callable[[httpx.Request], httpx.Response]) -> None:
        self.asked: list[tuple[str, str]] = []
        self.waits: list[float] = []
        self._answers = answers
        self.forge = GitHub(
            REPOSITORY, TOKEN, api, sleep=self.waits.append, transport=httpx.MockTransport(self._answer)
        )

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append((str(request.url), request.headers.get("authorization", "")))
        name = request.url.path.rpartition("/")[2].replace("-", "_")
        answer = self._answers.get(name)
        return answer(request) if answer else httpx.Response(404, json={"message": "Not Found"})


def says(status: int, body: Any = None, **headers: str) -> Callable[[httpx.Request], httpx.Response]:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _: httpx.Response(status, content=json.dumps(body).encode(), headers=sent)


@pytest.mark.parametrize(
    ("answer", "code", "waits"),
    [
        pytest.param(says(429, {}, retry_after="7"), "forge-rate-limited", [7.0, 7.0, 7.0], id="429 with seconds"),
        pytest.param(says(403, {}, retry_after="600"), "forge-rate-limited", [], id="longer than we wait"),
        pytest.param(
            says(403, {}, x_ratelimit_remaining="0", x_ratelimit_reset="9999999999"),
            "forge-rate-limited",
            [],
            id="used up",
        ),
        pytest.param(
            says(429, {}, retry_after="Fri, 31 Dec 1999 23:59:59 GMT"),
            "forge-rate-limited",
            [60.0] * 3,
            id="with a date",
        ),
        pytest.param(says(429, {}, retry_after="9" * 30), "forge-rate-limited", [60.0] * 3, id="for ever"),
        pytest.param(
            says(403, {}, x_ratelimit_remaining="0", x_ratelimit_reset="9" * 30),
            "forge-rate-limited",
            [60.0] * 3,
            id="until the end of time",
        ),
        pytest.param(
            says(403, {"message": "You have exceeded a secondary rate limit."}),
            "forge-rate-limited",
            [60.0] * 3,
            id="by words only",
        ),
        pytest.param(says(403, {"message": "no"}), "forge-forbidden", [], id="403"),
        pytest.param(says(404, {"message": "Not Found"}), "forge-forbidden", [], id="404"),
        pytest.param(says(401, {"message": TOKEN}), "forge-unauthorized", [], id="401"),
        pytest.param(says(422, {"message": "what?"}), "forge-refused", [], id="422"),
        pytest.param(says(301, {}, location=f"{API}/repositories/7"), "forge-moved", [], id="renamed"),
        pytest.param(says(200, {"id": "x"}), "forge-answer-unreadable", [], id="other shape"),
        pytest.param(lambda _: httpx.Response(200, content=b"<html>"), "forge-answer-unreadable", [], id="no JSON"),
        pytest.param(says(200, [[]] * 3), "forge-answer-unreadable", [], id="a list"),
    ],
)
def test_every_failure_of_a_read_has_a_code(
    answer: Callable[[httpx.Request], httpx.Response], code: str, waits: list[float]
) -> None:
    wire = Wire(tool=answer)
    with pytest.raises(ExternalError) as caught:
        wire.forge.repository()
    assert (caught.value.code, wire.waits) == (code, waits)
    assert TOKEN not in f"{caught.value} {vars(caught.value)}"
    assert caught.value.hint


def refuse_connection(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("connection refused", request=request)


def hang_up(request: httpx.Request) -> httpx.Response:
    raise httpx.RemoteProtocolError("server disconnected", request=request)


def take_too_long(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadTimeout("timed out", request=request)


@pytest.mark.parametrize(
    ("answer", "code", "retryable"),
    [
        pytest.param(refuse_connection, "forge-unreachable", True, id="nothing was sent"),
        pytest.param(hang_up, "forge-write-unknown", True, id="no answer"),
        pytest.param(take_too_long, "forge-write-unknown", True, id="too late an answer"),
        pytest.param(says(500, {}), "forge-write-unknown", True, id="500"),
        pytest.param(says(429, {}, retry_after="1"), "forge-rate-limited", True, id="429"),
        pytest.param(says(403, {"message": "no"}), "forge-forbidden", False, id="403"),
        pytest.param(says(404, {"message": "no"}), "forge-forbidden", False, id="404"),
        pytest.param(says(422, {"message": "no"}), "forge-refused", False, id="422"),
    ],
)
def test_every_failure_of_a_write_has_a_code_and_is_not_repeated(
    answer: Callable[[httpx.Request], httpx.Response], code: str, retryable: bool
) -> None:
    wire = Wire(releases=answer)
    with pytest.raises(ExternalError) as caught:
        wire.forge.create_draft("v1", "c", "1", "", prerelease=False)
    assert (caught.value.code, caught.value.retryable) == (code, retryable)
    assert (len(wire.asked), wire.waits) == (1, [])


def release_json(number: int, upload_url: str = "", **more: Any) -> dict[str, Any]:
    """A release with nothing in it that the reference calls optional."""
    html = f"https://example.invalid/{number}"
    return {
        "id": number,
        "tag_name": "v1",
        "draft": True,
        "prerelease": False,
        "assets": [],
        "html_url": html,
        "upload_url": upload_url,
        **more,
    }


def asset_json(**more: Any) -> dict[str, Any]:
    return {"id": 5, "name": "tool", "size": 4, "state": "uploaded", "created_at": "2026-01-02T03:04:05Z", **more}


def test_optional_fields_may_be_missing() -> None:
    wire = Wire(releases=says(200, [release_json(3, name=None, assets=[asset_json(digest=None, uploader=None)])]))
    ((asset,),) = [r.assets for r in wire.forge.releases("v1")]
    assert (asset.digest, asset.by, asset.human) == ("", Person(id=0, login="ghost"), False)


def test_pages_are_counted_and_their_addresses_not_followed() -> None:
    """The token must not follow a link to wherever an answer says."""

    def page(request: httpx.Request) -> httpx.Response:
        number = int(request.url.params["page"])
        link = {"Link": '<https://evil.example.invalid/?page=2>; rel="next"'} if number < 3 else {}
        return httpx.Response(200, json=[release_json(30 - number), release_json(29)], headers=link)

    wire = Wire(releases=page)
    assert [r.id for r in wire.forge.releases("v1")] == [27, 28, 29]
    assert {httpx.URL(url).host for url, _ in wire.asked} == {"api.example.invalid"}


def test_pages_without_end_are_not_read_without_end() -> None:
    wire = Wire(releases=says(200, [], link=f'<{API}>; rel="next"'))
    with pytest.raises(ExternalError, match="forge-answer-unreadable"):
        wire.forge.releases("v1")
    assert len(wire.asked) == 200


def test_a_run_that_has_not_started_is_the_newest() -> None:
    runs = [
        {"id": 2, "name": "ci", "status": "completed", "conclusion": "success", "started_at": "2026-01-02T03:04:05Z"},
        {"id": 1, "name": "ci", "status": "queued", "conclusion": None, "started_at": None},
    ]
    wire = Wire(check_runs=says(200, {"check_runs": runs}), status=says(200, {"statuses": []}))
    assert wire.forge.checks("c") == {"ci": CheckState.PENDING}


def test_a_conclusion_that_github_does_not_know_yet_is_no_success() -> None:
    runs = [{"id": 1, "name": "ci", "status": "completed", "conclusion": "a word of tomorrow", "started_at": None}]
    wire = Wire(check_runs=says(200, {"check_runs": runs}), status=says(200, {"statuses": []}))
    assert wire.forge.checks("c") == {"ci": CheckState.FAILURE}


def test_a_custom_role_counts_as_what_it_permits() -> None:
    wire = Wire(
        Ana=says(200, {"id": 11, "login": "Ana", "type": "User", "email": "ana@example.invalid"}),
        permission=says(200, {"permission": "write", "role_name": "release manager"}),
    )
    voter = wire.forge.voter(ANA, ["role:write", "role:maintain"])
    assert voter.roles == frozenset({"role:write"})
    assert "ana@example.invalid" in voter.emails


def test_an_invitation_is_no_membership() -> None:
    # The profile and the membership end in the same name, so one answer serves both.
    wire = Wire(Ana=says(200, {"id": 11, "login": "Ana", "type": "User", "state": "pending"}))
    assert wire.forge.voter(ANA, ["team:acme/crew"]).roles == frozenset()


UPLOAD = "/repos/acme/tool/releases/3/assets{?name,label}"


@pytest.mark.parametrize(
    ("api", "url"),
    [
        pytest.param("https://api.example.invalid", "https://uploads.example.invalid" + UPLOAD, id="the upload host"),
        pytest.param(
            "https://ghe.example.invalid/api/v3", "https://ghe.example.invalid/api/uploads" + UPLOAD, id="a server"
        ),
        pytest.param("http://127.0.0.1:8080", "http://127.0.0.1:9090" + UPLOAD, id="loopback, any port"),
    ],
)
def test_uploads_go_to_githubs_own_hosts(tmp_path: Path, api: str, url: str) -> None:
    wire = Wire(api, assets=says(201, asset_json()))
    release = Release(3, "v1", "", True, False, (), "", upload_url=url)
    assert wire.forge.upload(release, "tool", made(tmp_path / "a", b"ours"), ignore).id == 5
    assert wire.asked == [(url.partition("{")[0] + "?name=tool", f"token {TOKEN}")]


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example.com/upload",
        "https://api.example.invalid.evil.com/upload",
        "https://evil-uploads.example.invalid/upload",
        "http://uploads.example.invalid/upload",
        "http://169.254.169.254/latest",
        "https://uploads.example.invalid@evil.com/upload",
        "//evil.com/upload",
        "/upload",
        "",
    ],
)
def test_nothing_is_uploaded_elsewhere(tmp_path: Path, url: str) -> None:
    wire = Wire(upload=says(201, asset_json()))
    release = Release(3, "v1", "", True, False, (), "", upload_url=url)
    with pytest.raises(ExternalError) as caught:
        wire.forge.upload(release, "tool", made(tmp_path / "a", b"ours"), ignore)
    assert (caught.value.code, wire.asked) == ("upload-url-foreign", [])


def an_asset(size: int = 4, url: str = "") -> Asset:
    from datetime import UTC, datetime

    return Asset(5, "tool", size, "", True, ANA, True, datetime(2026, 1, 2, tzinfo=UTC), url)


def test_the_token_does_not_follow_a_redirect_to_another_host(tmp_path: Path) -> None:
    wire = Wire(
        **{
            "5": says(302, {}, location="https://objects.example.com/blob"),
            "blob": lambda _: httpx.Response(200, content=b"ours"),
        }
    )
    wire.forge.download(an_asset(), tmp_path / "b", ignore)
    assert (tmp_path / "b").read_bytes() == b"ours"
    assert wire.asked[1] == ("https://objects.example.com/blob", "")


@pytest.mark.parametrize(
    ("location", "code"),
    [
        pytest.param("http://objects.example.com/blob", "download-url-foreign", id="plain http"),
        pytest.param("http://169.254.169.254/blob", "download-url-foreign", id="the metadata service"),
        pytest.param("file:///etc/passwd", "download-url-foreign", id="a file"),
        pytest.param(f"{API}/repos/acme/tool/releases/assets/5", "forge-answer-unreadable", id="in a circle"),
    ],
)
def test_a_download_stays_on_safe_addresses(tmp_path: Path, location: str, code: str) -> None:
    wire = Wire(**{"5": says(302, {}, location=location)})
    with pytest.raises(ExternalError) as caught:
        wire.forge.download(an_asset(), tmp_path / "b", ignore)
    assert caught.value.code == code
    assert not (tmp_path / "b").exists()
    assert {httpx.URL(url).host for url, _ in wire.asked} == {"api.example.invalid"}


@pytest.mark.parametrize("size", [3, 5], ids=["more than stated", "less than stated"])
def test_a_download_of_another_size_leaves_nothing(tmp_path: Path, size: int) -> None:
    wire = Wire(**{"5": lambda _: httpx.Response(200, content=b"ours")})
    steps: list[int] = []
    with pytest.raises(ExternalError) as caught:
        wire.forge.download(an_asset(size), tmp_path / "b", steps.append)
    assert (caught.value.code, sum(steps)) == ("asset-size", 0)
    assert not (tmp_path / "b").exists()


def test_a_download_that_finds_no_room_leaves_nothing(tmp_path: Path) -> None:
    wire = Wire(**{"5": lambda _: httpx.Response(200, content=b"ours")})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            wire.forge.download(an_asset(), tmp_path / "b", ignore)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("status", "public"), [(200, True), (302, True), (404, False), (403, False)], ids=["200", "302", "404", "403"]
)
def test_public_is_what_nobody_in_particular_can_get(status: int, public: bool) -> None:
    wire = Wire(tool=says(status, {}, location="https://elsewhere.example.com/"))
    asset = an_asset(url="https://example.invalid/acme/tool/releases/download/v1/tool")
    assert wire.forge.is_public(asset) is public
    assert wire.asked == [(asset.url, "")]


def test_whether_a_file_is_public_may_be_unknown() -> None:
    wire = Wire(tool=says(503, {}))
    with pytest.raises(ExternalError, match="forge-unreachable"):
        wire.forge.is_public(an_asset(url="https://example.invalid/tool"))


@pytest.mark.parametrize(
    ("repository", "url", "code"),
    [
        (REPOSITORY, "http://api.example.invalid", "api-url-insecure"),
        ("acme", API, "repository-invalid"),
        ("acme/../other", API, "repository-invalid"),
        ("acme/..", API, "repository-invalid"),
        ("acme/tool?x", API, "repository-invalid"),
    ],
)
def test_a_forge_is_not_made_of_anything(repository: str, url: str, code: str) -> None:
    with pytest.raises(ConfigError) as caught:
        GitHub(repository, TOKEN, url)
    assert caught.value.code == code


@pytest.mark.parametrize("token", ["opaque-opaque\n", "opaque opaque", "opaque-\u00e9"], ids=["line end", "space", "é"])
def test_a_token_that_cannot_be_sent_is_said_to_be_one_and_not_shown(token: str) -> None:
    with pytest.raises(ConfigError) as caught:
        GitHub(REPOSITORY, token, API)
    assert caught.value.code == "token-invalid"
    assert "opaque" not in f"{vars(caught.value)}"


def test_the_port_is_implemented(forge: GitHub) -> None:
    port: Forge = forge
    assert port.repository().name == REPOSITORY
