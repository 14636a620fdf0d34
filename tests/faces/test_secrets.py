"""A canary in every place: no token of a whole release, good or bad, is in anything that `releaser` leaves behind."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Iterator
from urllib.parse import quote

import pytest

from releaser.errors import Exit
from releaser.rehearsal.server import Request, Response, Route
from tests.faces.stage import Ran, Stage


class Canaries:
    """Every credential of a world, those included that come into being on the way."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.identities: list[str] = []
        issuer = stage.world.oidc
        mint = issuer.token

        def token(audience: str, **claims: str | int) -> str:
            self.identities.append(mint(audience, **claims))
            return self.identities[-1]

        issuer.token = token  # type: ignore[method-assign]

    def secrets(self) -> set[str]:
        world = self.stage.world
        minted = {*world.pypi._grants, *world.crates._grants, *world.npm._grants}
        signatures = {identity.rpartition(".")[2] for identity in self.identities}
        kept = {world.oidc.request_token, world.chocolatey.api_key}
        return minted | signatures | kept | {*world.github._tokens, *self.identities}


def disguises(secret: str) -> Iterator[str]:
    """*secret* as it stands, as part of an address, and in Base64 behind one, two and three other bytes.

    What surrounds a secret shows in the first and last letters of its Base64 only.
    """
    yield secret
    yield quote(secret, safe="")
    for before in (b"x", b"xx", b"xxx"):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(before + secret.encode()).decode().rstrip("=")[4:-2]


def leaked(text: str, secrets: Iterable[str]) -> list[str]:
    return [secret[:12] + "…" for secret in secrets if any(form in text for form in disguises(secret))]


def left_behind(stage: Stage, ran: Iterable[Ran]) -> str:
    """All that a release leaves: what was said, ledgers, pages, outputs, the release itself and its files, the tap."""
    pieces = [each.said for each in ran]
    pieces += [p.read_text("latin-1") for root in (stage.home, stage.dist) for p in root.rglob("*") if p.is_file()]
    with stage.forge() as forge:
        for release in forge.releases(stage.tag):
            pieces += [release.body, release.name, release.url]
            for asset in release.assets:
                file = stage.scratch / str(asset.id)
                forge.download(asset, file, lambda _: None)
                pieces.append(file.read_text("latin-1"))
                file.unlink()
    pieces += [repr(call) for call in stage.world.journal.calls()]
    git = stage.world.github.repository("harbor/homebrew-tap").git
    pieces += [git.commit(sha).message for sha in git.log(None, "refs/heads/main", 10)]
    return "\n".join(pieces)


def job_of(stage: Stage) -> dict[str, str]:
    return {
        "GITHUB_ACTIONS": "true",
        "GITHUB_OUTPUT": str(stage.home / "outputs"),
        "GITHUB_STEP_SUMMARY": str(stage.home / "summary.md"),
    }


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_release_leaves_no_secret_behind(stage: Stage, log_format: str) -> None:
    canaries, job, log = Canaries(stage), job_of(stage), ("--log-format", log_format)
    dist = ("--artifacts", str(stage.dist))
    ran = [
        stage.run("plan", stage.tag, *dist, *log, **job),
        stage.run("assemble", stage.tag, *dist, *log, **job),
        stage.run("draft", stage.tag, *dist, *log, **job),
    ]
    for login in stage.project.reviewers:
        ran.append(stage.run("approve", stage.tag, "--digest", stage.digest, *log, by=login))
    ran += [stage.publish(*log, **job), stage.run("status", stage.tag, "--format", "json")]
    assert [each.code for each in ran] == [Exit.DONE] * 7
    secrets = canaries.secrets()
    assert len(secrets) >= 3 + 3 + 4 + 3  # people, users of registries, identities, rights
    assert not leaked(left_behind(stage, ran), secrets)


def echo(request: Request) -> Response:
    """An answer that repeats the request's credential in its reason, body and headers, in clear and encoded."""
    given = request.header("authorization").rpartition(" ")[2] or request.read().decode(errors="replace")
    encoded = base64.b64encode(b"got " + given.encode()).decode()
    text = f"bad {given} {quote(given)} {encoded}"
    body = {"message": text, "error": text, "errors": [{"detail": text, "description": text}]}
    return Response(400, json.dumps(body).encode(), reason=f"bad {given}", headers={"X-Echo": given})


TALKATIVE = [
    {"github.list-releases"},
    {"oidc.token"},
    {"pypi.mint-token", "crates.exchange", "npm.exchange"},
    {"github.update-release"},
    {"pypi.upload", "crates.publish", "npm.publish"},
]


@pytest.mark.hostile("repeats credentials in everything that an answer has")
@pytest.mark.parametrize("operations", TALKATIVE, ids=lambda names: ", ".join(sorted(names)))
def test_a_service_that_repeats_our_credential_is_not_quoted(
    approved: Stage, monkeypatch: pytest.MonkeyPatch, operations: set[str]
) -> None:
    canaries = Canaries(approved)
    world = approved.world

    def talkative(handle: Callable[[Route, Request], Response]) -> Callable[[Route, Request], Response]:
        return lambda found, request: echo(request) if found.operation in operations else handle(found, request)

    for service in (world.github, world.oidc, world.pypi, world.crates, world.npm):
        monkeypatch.setattr(service, "_handle", talkative(service._handle))
    ran = [approved.publish(**job_of(approved)), approved.publish("--log-format", "json")]
    assert Exit.OUTSIDE in {each.code for each in ran}
    monkeypatch.undo()
    assert "[redacted]" in ran[0].err
    assert not leaked(left_behind(approved, ran), canaries.secrets())


def test_the_search_finds_what_it_looks_for(drafted: Stage) -> None:
    canaries = Canaries(drafted)
    token = drafted.project.job["GITHUB_TOKEN"]
    plants = {
        "clear": token,
        "base64": base64.b64encode(f"__token__:{token}".encode()).decode(),
        "url-safe base64": base64.urlsafe_b64encode(token.encode()).decode(),
        "address": f"https://example.invalid/?t={quote(token)}",
    }
    for name, text in plants.items():
        (drafted.home / "planted").write_text(text)
        assert leaked(left_behind(drafted, []), canaries.secrets()) == [token[:12] + "…"], name
    (drafted.home / "planted").write_text("nothing of interest")
    assert not leaked(left_behind(drafted, []), canaries.secrets())
