"""crates.io's tokens, limits and trusted publishing: who may do what, how often, and what our adapter makes of it.

rust-lang/crates.io src/auth.rs, src/rate_limiter.rs, src/middleware/require_user_agent.rs,
src/controllers/trustpub/tokens/{exchange,revoke}, crates/crates_io_trustpub/src/access_token.rs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest

from releaser.adapters.crates import index_path
from releaser.engine.ports import Credential, Sent
from releaser.errors import ConfigError, ExternalError
from tests.contracts.crate_registries import (
    KELLNR,
    NO_PAGES,
    UNMINTED,
    Crate,
    Served,
    fixtures,
    said,
    worded,
)
from tests.contracts.table import REHEARSAL, Documented, Instead

TITLE = "crates.io: tokens, limits and trusted publishing"

NO_MINTING = "it has no trusted publishing"
NO_LIMITS = "it has no rate limits"
BEARER = "Bearer "

issuer, server, registry = fixtures(REHEARSAL, KELLNR)


# who may


ANONYMOUS = "403 this action requires authentication"
FORMAT = "401 The given API token does not match the format used by crates.io."
UNPARSED = "401 Invalid `Authorization` header: Failed to parse token"
SCHEME = "401 Invalid `Authorization` header: Found unexpected authentication scheme `Basic`"
FORBIDDEN = Instead("403", "it refuses as well, and says no more")
TOKENS: dict[str, tuple[str, str, str, str, Instead[str]]] = {
    # the token, what publishing says, what yanking says, what revoking says
    "none": ("", ANONYMOUS, ANONYMOUS, "401 Missing `Authorization` header", Instead("401", "it asks for a token")),
    "of another form": ("secret", FORMAT, FORMAT, UNPARSED, FORBIDDEN),
    "unknown": ("cioAAAA", "403 authentication failed", "403 authentication failed", UNPARSED, FORBIDDEN),
    "minted, unknown": (UNMINTED, "403 Invalid authentication token", "403 authentication failed", "204", FORBIDDEN),
    "minted, too short": ("cio_tp_" + "A" * 30 + "A", UNPARSED, "403 authentication failed", UNPARSED, FORBIDDEN),
    "minted, too long": ("cio_tp_" + "A" * 32 + "A", UNPARSED, "403 authentication failed", UNPARSED, FORBIDDEN),
    "minted, mistyped": (UNMINTED[:-1] + "E", UNPARSED, "403 authentication failed", UNPARSED, FORBIDDEN),
    "minted, no letter": ("cio_tp_" + "-" * 31 + "t", UNPARSED, "403 authentication failed", UNPARSED, FORBIDDEN),
    "of another scheme": ("Basic x", SCHEME, SCHEME, SCHEME, Instead("400", "it cannot read it; it refuses as well")),
}


@pytest.mark.parametrize(("token", "publish", "yank", "revoke", "instead"), TOKENS.values(), ids=TOKENS.keys())
def test_bad_token(
    registry: Served, documented: Documented, token: str, publish: str, yank: str, revoke: str, instead: Instead[str]
) -> None:
    """A token that gives no right is refused: 401 for its form, 403 for what it is"""
    crate = registry.old()

    assert said(registry.put(replace(crate, version="1.0.0"), token)) == worded(documented, publish, instead)
    assert said(registry.yank(crate, token)) == worded(documented, yank, instead)
    header = {"Authorization": token} if token else {}
    assert said(registry.revoke(**header)) == worded(documented, revoke, Instead("405", NO_MINTING))
    assert [(line["vers"], line["yanked"]) for line in registry.lines(crate.name)] == [("0.1.0", False)]
    if token:
        receipt = registry.publish(replace(crate, version="1.0.0"), Credential(token, 0.0))
        wanted = worded(documented, publish, instead)
        assert receipt.detail.startswith(wanted)
        assert receipt.sent is (Sent.REFUSED if wanted.startswith("400") else Sent.DENIED)


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer "])
def test_bearer(registry: Served, scheme: str) -> None:
    """A token may stand bare or after `Bearer`"""
    crate = registry.new()

    assert registry.put(crate, f"{scheme}{registry.token}").status_code == 200
    assert registry.versions(crate.name) == ["1.0.0"]


def test_no_agent(registry: Served, documented: Documented) -> None:
    """Whoever does not say who they are is turned away, but not from downloads, index and archives"""
    crate = registry.old()
    silent: dict[str, Any] = {"User-Agent": ""}
    turned_away = "403 We require that all requests include a `User-Agent` header."

    def asked(expected: str, why: str) -> str:
        return worded(documented, turned_away, Instead(expected, why))

    anybody = "it does not ask who you are"
    assert said(registry.put(replace(crate, version="1.0.0"), **silent)) == asked("200", anybody)
    assert said(registry.yank(crate, **silent)) == asked("200", anybody)
    assert said(registry.yank(crate, back=True, **silent)) == asked("200", anybody)
    assert said(registry.get(crate.name, **silent)) == asked("200 <!DOCTYPE html>", NO_PAGES)
    page = registry.get(f"{crate.name}/0.1.0", **silent)
    assert said(page) == asked("400 Invalid URL: Invalid character in name", NO_PAGES)
    assert said(registry.present({"jwt": ""}, **silent)) == asked("405", NO_MINTING)
    assert said(registry.revoke(Authorization=BEARER + UNMINTED, **silent)) == asked("405", NO_MINTING)
    kind = page.headers["content-type"]
    assert kind == "text/plain; charset=utf-8"
    assert registry.entry(index_path(crate.name), **silent).status_code == 200
    assert registry.entry("config.json", **silent).status_code == 200
    assert registry.get(f"{crate.name}/0.1.0/download", **silent).status_code == documented(
        302, kellnr=Instead(404, "its downloads are elsewhere, as its index says")
    )


def test_closed(registry: Served, documented: Documented) -> None:
    """A crate may refuse the tokens of people"""
    crate = registry.old()
    registry.setting.close(crate.name)
    registry.setting.trust(crate.name)

    by_hand = registry.put(replace(crate, version="1.0.0"))
    by_job = registry.put(replace(crate, version="1.1.0"), registry.mint())

    closed = "403 New versions of this crate can only be published using Trusted Publishing"
    assert said(by_hand) == worded(documented, closed, Instead("200", NO_MINTING))
    assert by_job.status_code == documented(200, kellnr=Instead(403, NO_MINTING))
    page = registry.get(crate.name)
    assert page.headers["content-type"] == documented("application/json", kellnr=Instead("text/html", NO_PAGES))
    if page.headers["content-type"] == "application/json":
        assert page.json()["crate"]["trustpub_only"] is True


def create(registry: Served, _crate: Crate, _n: int) -> httpx.Response:
    return registry.put(registry.new())


def update(registry: Served, crate: Crate, n: int) -> httpx.Response:
    return registry.put(replace(crate, version=f"1.0.{n}"))


def turn(registry: Served, crate: Crate, n: int) -> httpx.Response:
    return registry.yank(crate, back=bool(n % 2))


@pytest.mark.parametrize(
    ("act", "burst", "pace", "words"),
    [
        (create, 5, 600, "published too many new crates"),
        (update, 30, 60, "published too many updates to existing crates"),
        (turn, 100, 60, "yanked or unyanked too many versions"),
    ],
    ids=["new crates", "new versions", "yanks"],
)
def test_rate_limit(
    registry: Served,
    documented: Documented,
    act: Callable[[Served, Crate, int], httpx.Response],
    burst: int,
    pace: int,
    words: str,
) -> None:
    """Who does too much at once is told until when to wait: 429 with a date"""
    crate = registry.old()
    registry.setting.wait(600.0)

    answers = [act(registry, crate, n) for n in range(burst + 1)]

    assert [a.status_code for a in answers[:burst]] == [200] * burst
    limited = answers[burst]
    assert limited.status_code == documented(429, kellnr=Instead(200, NO_LIMITS))
    registry.setting.wait(pace - 1)
    still = act(registry, crate, burst + 1)
    assert still.status_code == limited.status_code
    registry.setting.wait(1)
    if limited.status_code == 429:
        again = format_datetime(registry.clock.now(), usegmt=True)
        assert said(limited) == f"429 You have {words} in a short period of time. Please try again after {again}"
        assert limited.headers["retry-after"] == still.headers["retry-after"] == again
    assert act(registry, crate, burst + 2).status_code == 200
    assert act(registry, crate, burst + 3).status_code == limited.status_code


def test_rate_limit_by_the_adapter(registry: Served, documented: Documented) -> None:
    """Our adapter is told how long to wait"""
    for _ in range(5):
        registry.put(registry.new())

    receipt = registry.publish(registry.new())

    assert receipt.sent is documented(Sent.LATER, kellnr=Instead(Sent.ACCEPTED, NO_LIMITS))
    assert receipt.wait == (600.0 if receipt.sent is Sent.LATER else 0.0)


def test_told_to_wait(registry: Served, documented: Documented) -> None:
    """Too much at once is refused for now, and nothing is stored"""
    crate = registry.new()
    registry.setting.fail("publish", 429)
    registry.setting.fail("publish", 429)

    answer, receipt = registry.put(crate), registry.publish(crate)

    again = format_datetime(registry.clock.now() + timedelta(seconds=60), usegmt=True)
    assert answer.headers.get("retry-after", again) == again
    tells = "429 injected fault"
    assert said(answer) == worded(documented, tells, Instead("200", NO_LIMITS))
    # Where the first was stored, the second is refused for good.
    assert receipt.sent is documented(
        Sent.LATER, kellnr=Instead(Sent.REFUSED, "it has no rate limits: the version is there already")
    )
    assert receipt.wait == (60.0 if receipt.sent is Sent.LATER else 0.0)
    assert registry.versions(crate.name) == documented([], kellnr=Instead(["1.0.0"], NO_LIMITS))


# trusted publishing


def test_exchange(registry: Served, documented: Documented) -> None:
    """A job's identity becomes a token of half an hour that publishes its crates, as its run"""
    crate = registry.old()
    registry.setting.trust(crate.name, environment="release")
    newer = replace(crate, version="1.0.0")

    try:
        credential = registry.adapter.authorize(crate.name, registry.identity)
    except ExternalError as exc:
        credential = Credential(exc.code, 0.0)

    refused = Instead("trusted-publisher-refused", NO_MINTING)
    given = documented("a token of half an hour", kellnr=refused)
    if given == refused.value:
        assert credential.secret == given
    else:
        assert credential.expires == registry.clock.now().timestamp() + 1800
        assert credential.secret.startswith("cio_tp_")
    sent = registry.publish(newer, credential).sent
    assert sent is documented(Sent.ACCEPTED, kellnr=Instead(Sent.DENIED, NO_MINTING))
    assert (registry.versions(crate.name) == ["0.1.0", "1.0.0"]) is (sent is Sent.ACCEPTED)
    page = registry.get(f"{crate.name}/1.0.0")
    run = {"provider": "github", "repository": "acme/widget", "run_id": "7001", "sha": "0" * 40}
    assert page.status_code == documented(200, kellnr=Instead(400, NO_PAGES))
    assert page.status_code == 400 or page.json()["version"]["trustpub_data"] == run


def test_token_form(registry: Served, documented: Documented) -> None:
    """A minted token has 31 random characters and one that checks them, and comes alone"""
    crate = registry.old()
    registry.setting.trust(crate.name)

    answers = [registry.exchange() for _ in range(2)]

    assert [a.status_code for a in answers] == documented([200, 200], kellnr=Instead([405, 405], NO_MINTING))
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    tokens = [a.json()["token"] for a in answers if a.status_code == 200]
    assert len(set(tokens)) == documented(2, kellnr=Instead(0, NO_MINTING))
    assert all(a.json().keys() == {"token"} for a in answers if a.status_code == 200)
    for token in (*tokens, UNMINTED):
        text = token.removeprefix("cio_tp_")
        check = 0
        for character in text[:-1]:
            check ^= ord(character)
        assert (len(text), set(text) - set(letters), text[-1]) == (32, set(), letters[check % 62])


def test_token_life(registry: Served, documented: Documented) -> None:
    """A minted token ends after thirty minutes"""
    crate = registry.old()
    registry.setting.trust(crate.name)
    token = registry.mint()

    registry.setting.wait(1799)
    in_time = registry.put(replace(crate, version="1.0.0"), token)
    registry.setting.wait(1)
    late = registry.put(replace(crate, version="1.1.0"), token)

    assert in_time.status_code == documented(200, kellnr=Instead(403, NO_MINTING))
    assert said(late) == worded(documented, "403 Invalid authentication token", FORBIDDEN)


def test_token_scope(registry: Served, documented: Documented) -> None:
    """A minted token publishes the crates of its configs, no other, and creates none"""
    mine, also, other = registry.old(), registry.old(), registry.old()
    registry.setting.trust(mine.name)
    registry.setting.trust(also.name.replace("-", "_"), repository="Acme/Widget")
    token = registry.mint()

    def next_of(crate: Crate) -> str:
        return said(registry.put(replace(crate, version="1.0.0"), token), crate)

    minted = Instead("403", NO_MINTING)
    assert next_of(mine) == worded(documented, "200", minted)
    assert next_of(also) == worded(documented, "200", minted)
    scope = "403 The provided access token is not valid for crate `widget`"
    assert next_of(other) == worded(documented, scope, FORBIDDEN)
    new = "403 Trusted Publishing tokens do not support creating new crates. Publish the crate manually, first"
    assert next_of(registry.new()) == worded(documented, new, FORBIDDEN)


def test_token_cannot_yank(registry: Served, documented: Documented) -> None:
    """A minted token neither yanks nor takes back"""
    crate = registry.old()
    registry.setting.trust(crate.name)
    token = registry.mint()

    answers = [said(registry.yank(crate, token, back=back)) for back in (False, True)]

    assert answers == [worded(documented, "403 authentication failed", FORBIDDEN)] * 2
    assert [line["yanked"] for line in registry.lines(crate.name)] == [False]


def test_token_is_not_limited(registry: Served, documented: Documented) -> None:
    """A minted token is not counted against a person's rate limit"""
    crate = registry.old()
    registry.setting.trust(crate.name)
    token = registry.mint()

    answers = {registry.put(replace(crate, version=f"1.0.{n}"), token).status_code for n in range(31)}

    assert answers == documented({200}, kellnr=Instead({403}, NO_MINTING))
    assert registry.put(replace(crate, version="2.0.0")).status_code == 200


def test_revoke(registry: Served, documented: Documented) -> None:
    """A token that was given back is worthless, and may be given back again"""
    crate = registry.old()
    registry.setting.trust(crate.name)
    token, other = registry.mint(), registry.mint()
    newer = replace(crate, version="1.0.0")

    revoked = [registry.revoke(Authorization=BEARER + token).status_code for _ in range(2)]
    registry.adapter.discard(Credential(other, 0.0))

    assert revoked == documented([204, 204], kellnr=Instead([405, 405], NO_MINTING))
    worthless = worded(documented, "403 Invalid authentication token", FORBIDDEN)
    assert [said(registry.put(newer, given)) for given in (token, BEARER + token, other)] == [worthless] * 3
    assert registry.versions(crate.name) == ["0.1.0"]


ABOUT_CONFIG = "The Trusted Publishing config for repository `acme/widget`"
EVENT = (
    "Trusted Publishing does not support the `{}` event trigger due to security concerns. "
    "Please use a different trigger such as `push`, `release`, or `workflow_dispatch`."
)
MISMATCHES: dict[str, tuple[dict[str, str], str]] = {
    "another repository": (
        {"repository": "evil/widget"},
        "No Trusted Publishing config found for repository `evil/widget`.",
    ),
    "another owner of the same name": (
        {"repository_owner_id": "666"},
        f"{ABOUT_CONFIG} does not match the repository owner ID (666) in the JWT. Expected owner IDs: 501, 501. "
        "Please recreate the Trusted Publishing config to update the repository owner ID.",
    ),
    "another workflow": (
        {"workflow_ref": "acme/widget/.github/workflows/ci.yaml@refs/tags/v1.0.0"},
        f"{ABOUT_CONFIG} does not match the workflow filename `ci.yaml` in the JWT. "
        "Expected workflow filenames: `release.yml`, `release.yml`",
    ),
    "no workflow": ({"workflow_ref": "acme/widget"}, "Unexpected `workflow_ref` value"),
    "another environment": (
        {"environment": "staging"},
        f"{ABOUT_CONFIG} does not match the environment `staging` in the JWT. "
        "Expected environments: `Release`, `Production`",
    ),
    "no environment": (
        {"environment": ""},
        f"{ABOUT_CONFIG} requires an environment, but the JWT does not specify one. "
        "Expected environments: `Release`, `Production`",
    ),
    "pull_request_target": ({"event_name": "pull_request_target"}, EVENT.format("pull_request_target")),
    "workflow_run": ({"event_name": "workflow_run"}, EVENT.format("workflow_run")),
    "another audience": ({"aud": "pypi"}, "Failed to decode JWT"),
    "another issuer": ({"iss": "https://example.invalid"}, "Unsupported JWT issuer: https://example.invalid"),
}


@pytest.mark.parametrize(("claims", "refusal"), MISMATCHES.values(), ids=MISMATCHES.keys())
def test_mismatch(registry: Served, documented: Documented, claims: dict[str, str], refusal: str) -> None:
    """An identity that no config matches is refused with 400 and the claim"""
    for environment in ("Release", "Production"):
        registry.setting.trust(registry.old().name, environment=environment)

    assert said(registry.exchange(**claims)) == worded(documented, f"400 {refusal}", Instead("405", NO_MINTING))


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"environment": "RELEASE"},
        {"repository": "ACME/Widget"},
        {"job_workflow_ref": "acme/shared/.github/workflows/publish.yml@refs/heads/main"},
    ],
    ids=["as registered", "environment in other case", "repository in other case", "called by a reusable workflow"],
)
def test_match(registry: Served, documented: Documented, claims: dict[str, str]) -> None:
    """An identity matches by repository and environment in any case, and by the workflow at the top"""
    crate = registry.old()
    registry.setting.trust(crate.name, environment="release")

    assert registry.exchange(**claims).status_code == documented(200, kellnr=Instead(405, NO_MINTING))


def test_leeway(registry: Served, documented: Documented) -> None:
    """An identity counts for a minute longer than it says, and no more"""
    crate = registry.old()
    registry.setting.trust(crate.name)
    now = int(registry.issuer.clock())

    in_time, late = (registry.exchange(registry.issuer.token("crates.io", exp=now - ago)) for ago in (50, 70))

    assert in_time.status_code == documented(200, kellnr=Instead(405, NO_MINTING))
    assert said(late) == worded(documented, "400 Failed to decode JWT", Instead("405", NO_MINTING))


def test_unreadable_identity(registry: Served, documented: Documented) -> None:
    """What is no identity, or not signed with the issuer's key, is refused with 400"""
    import jwt

    crate = registry.old()
    registry.setting.trust(crate.name)
    good = registry.issuer.token("crates.io")
    claims = jwt.decode(good, options={"verify_signature": False})
    keyless = jwt.encode(claims, "0" * 32, algorithm="HS256")
    strange = jwt.encode(claims, "0" * 32, algorithm="HS256", headers={"kid": "strange"})
    forged = jwt.encode(claims, "0" * 32, algorithm="HS256", headers={"kid": registry.issuer.kid})

    def refused(words: str) -> str:
        return worded(documented, f"400 {words}", Instead("405", NO_MINTING))

    unread: tuple[object, ...] = ({"jwt": "x"}, {"jwt": 1}, {}, [], None)
    for nothing in unread:
        assert said(registry.present(nothing)) == refused("Failed to decode JWT")
    assert said(registry.exchange(keyless)) == refused("Missing JWT key ID")
    assert said(registry.exchange(strange)) == refused("Invalid JWT key ID")
    assert said(registry.exchange(forged)) == refused("Failed to decode JWT")
    assert registry.exchange(good).status_code == documented(200, kellnr=Instead(405, NO_MINTING))


def test_replay(registry: Served, documented: Documented) -> None:
    """An identity is spent by success alone"""
    crate = registry.old()
    identity = registry.issuer.token("crates.io")
    refused = registry.exchange(identity)
    registry.setting.trust(crate.name)

    answers = [said(registry.exchange(identity)) for _ in range(2)]

    unminted = Instead("405", NO_MINTING)
    none = "400 No Trusted Publishing config found for repository `acme/widget`."
    assert said(refused) == worded(documented, none, unminted)
    assert answers == [worded(documented, words, unminted) for words in ("200", "400 JWT has already been used")]


def test_refusal_by_the_adapter(registry: Served, documented: Documented) -> None:
    """Our adapter shows the registry's words and the claims, never the identity"""
    with pytest.raises(ExternalError) as refused:
        registry.adapter.authorize("widget", registry.identity)

    assert refused.value.code == "trusted-publisher-refused"
    words = "400 No Trusted Publishing config found for repository `acme/widget`.; presented"
    assert (refused.value.found or "").startswith(worded(documented, words, Instead("405", NO_MINTING)))
    assert "repository=acme/widget" in (refused.value.found or "")


def test_publisher_without_crate(registry: Served, documented: Documented) -> None:
    """A publisher can only be registered for a crate that exists"""
    name = registry.new().name

    try:
        registry.setting.trust(name)
        told, message, hint = "nothing", "", ""
    except ConfigError as exc:
        told, message, hint = exc.code, exc.message, exc.hint

    assert told == documented("publisher-without-package", kellnr=Instead("nothing", NO_MINTING))
    if told != "nothing":
        assert message == "a trusted publisher can only be registered for a crate that exists"
        assert hint == f'publish {name} once by hand: add_package("{name}")'
    assert registry.exchange().status_code == documented(400, kellnr=Instead(405, NO_MINTING))
