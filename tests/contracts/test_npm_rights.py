"""npm's trusted publishing, staged publishing and provenance: who may do what, and who only asks for it.

npm/api-documentation api/registry.npmjs.com/{oidc,stage,trust}.yaml, npm/documentation
securing-your-code/trusted-publishers.mdx, npm/cli workspaces/libnpmpublish/lib/provenance.js.
"""

from __future__ import annotations

import base64
import json
import re
import uuid
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from releaser.engine.ports import Credential, Sent
from releaser.errors import ConfigError, ExternalError
from releaser.rehearsal.npm_stage import STAGE
from tests.contracts.npm_registries import (
    FULL,
    NOW,
    OWN_WORDS,
    VERDACCIO,
    Pack,
    Served,
    attached,
    escaped,
    fixtures,
    said,
)
from tests.contracts.table import REHEARSAL, Documented, Instead

TITLE = "npm: trusted and staged publishing"

TIME = "2027-01-15T08:00:00.000Z"
NO_STAGE = "it has no staged publishing, and the document goes nowhere"
NO_EXCHANGE = "it has no trusted publishing; the adapter stops before anything is sent"
NO_TOKEN = "it has no trusted publishing, and knows no token of it"
NOTHING = "no such package available"
AUTHORIZE = "authorization required to publish package"

server, npm = fixtures(REHEARSAL, VERDACCIO)


# provenance

SOURCE = "https://github.com/acme/widget"
PREDICATE = "https://slsa.dev/provenance/v1"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"


def statement(pack: Pack, **change: Any) -> dict[str, Any]:
    """The statement of npm/cli workspaces/libnpmpublish/lib/provenance.js about *pack*."""
    name = f"pkg:npm/{pack.name.replace('@', '%40')}@{pack.version}"
    workflow = {"ref": "refs/tags/v1.0.0", "repository": SOURCE, "path": ".github/workflows/release.yml"}
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": name, "digest": {"sha512": pack.artifact.sha512}}],
        "predicateType": PREDICATE,
        "predicate": {"buildDefinition": {"externalParameters": {"workflow": workflow}}},
        **change,
    }


def with_provenance(pack: Pack, said: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The publish document of *pack* with a bundle that says so, and the bundle."""
    payload = base64.b64encode(json.dumps(said).encode()).decode()
    bundle = {"mediaType": BUNDLE, "dsseEnvelope": {"payload": payload, "payloadType": "application/vnd.in-toto+json"}}
    text = json.dumps(bundle)
    body = pack.document()
    attachment = {"content_type": BUNDLE, "data": text, "length": len(text)}
    body["_attachments"][f"{pack.name}-{pack.version}.sigstore"] = attachment
    return body, bundle


NO_BUNDLE = "it takes one attachment alone; our adapter sends no bundle"
REPOSITORIES: dict[str, object] = {
    "as npm writes it": {"type": "git", "url": f"git+{SOURCE}.git"},
    "an address": {"type": "git", "url": SOURCE},
    "short": SOURCE,
}


@pytest.mark.parametrize("repository", REPOSITORIES)
def test_provenance(npm: Served, repository: str, documented: Documented) -> None:
    """Provenance about the tarball, from the repository of package.json, is kept and served"""
    pack = npm.new(scope="@acme/", manifest={"repository": REPOSITORIES[repository]})
    body, bundle = with_provenance(pack, statement(pack))
    answer = npm.send(body, pack.name)
    theirs = Instead("400 unsupported registry call", NO_BUNDLE)
    assert said(answer) == documented("200", verdaccio=theirs)
    url = f"{npm.url}/-/npm/v1/attestations/{escaped(pack.name)}@1.0.0"
    named = {"url": url, "provenance": {"predicateType": PREDICATE}}
    dist = npm.packument(pack.name)["versions"].get("1.0.0", {}).get("dist", {})
    assert (dist.get("attestations") == named) is documented(True, verdaccio=Instead(False, NO_BUNDLE))
    served = npm.http.get(url)
    assert served.status_code == documented(200, verdaccio=Instead(404, NO_BUNDLE))
    kept = {"attestations": [{"predicateType": PREDICATE, "bundle": bundle}]}
    assert (served.json() == kept) is documented(True, verdaccio=Instead(False, NO_BUNDLE))


def test_no_provenance(npm: Served, documented: Documented) -> None:
    """A version without provenance has no attestations"""
    pack = npm.new()
    npm.put(pack)
    assert "attestations" not in npm.packument(pack.name)["versions"]["1.0.0"]["dist"]
    for version in ("1.0.0", "1.0.1"):
        answer = npm.get(f"/-/npm/v1/attestations/{pack.name}@{version}")
        assert said(answer) == documented("404 Not found", verdaccio=Instead("404 File not found", OWN_WORDS))


SUBJECT = "subject is not the published tarball"


def mismatch(found: str) -> str:
    return (
        "Failed to validate repository information: package.json: "
        f'"repository.url" is "{found}", expected to match "{SOURCE}" from provenance'
    )


UNVERIFIABLE: dict[str, tuple[Callable[[Pack], dict[str, Any]], object, str]] = {
    "other bytes": (lambda p: statement(Pack(p.name, note="other")), SOURCE, SUBJECT),
    "another version": (
        lambda p: statement(p, subject=[{**statement(p)["subject"][0], "name": f"pkg:npm/{p.name}@2.0.0"}]),
        SOURCE,
        SUBJECT,
    ),
    "another repository": (statement, f"{SOURCE}s", mismatch(f"{SOURCE}s")),
    "no repository": (statement, None, mismatch("")),
    "a repository without address": (statement, {"type": "git"}, mismatch("")),
    "two subjects": (lambda p: statement(p, subject=statement(p)["subject"] * 2), SOURCE, "too many values"),
    "no subject": (lambda p: statement(p, subject=[]), SOURCE, "not enough values"),
    "no build": (lambda p: statement(p, predicate={}), SOURCE, "'buildDefinition'"),
}


@pytest.mark.parametrize("case", UNVERIFIABLE)
def test_unverifiable(npm: Served, case: str, documented: Documented) -> None:
    """Provenance that does not fit is 422, and the version is not published"""
    make, repository, why = UNVERIFIABLE[case]
    pack = npm.new(manifest={"repository": repository})
    body, _ = with_provenance(pack, make(pack))
    refusal, _, reason = said(npm.send(body, pack.name)).partition(": ")
    unverified = "422 Error verifying sigstore provenance bundle"
    assert refusal == documented(unverified, verdaccio=Instead("400 unsupported registry call", NO_BUNDLE))
    assert reason.startswith(why if refusal == unverified else "")
    assert npm.adapter.observe(pack.name, "1.0.0").files == {}


# trusted publishing


def test_exchange(npm: Served, documented: Documented) -> None:
    """The job's identity is exchanged for a token of an hour"""
    pack = npm.new(scope="@acme/")
    npm.put(pack)
    npm.setting.trust(pack.name)
    answer = npm.exchange(pack.name)
    assert answer.status_code == documented(201, verdaccio=Instead(404, NO_EXCHANGE))
    if answer.status_code == 201:
        body = answer.json()
        assert re.fullmatch(r"npm_[\w-]{36}", body.pop("token"))
        assert body == {"token_type": "oidc", "created": TIME, "expires": "2027-01-15T09:00:00.000Z"}


def authorized(npm: Served, name: str) -> tuple[str, float]:
    """What our adapter gets for *name*: the start of a token or the code of an error, and when it ends."""
    try:
        credential = npm.adapter.authorize(name, npm.identity)
    except ExternalError as error:
        return error.code, 0.0
    return credential.secret[:4], credential.expires


def test_authorize(npm: Served, documented: Documented) -> None:
    """Our adapter exchanges the identity, and publishes with the token"""
    pack = npm.new(scope="@acme/")
    npm.put(Pack(pack.name, "0.9.0"))
    npm.setting.trust(pack.name)
    given = documented("npm_", verdaccio=Instead("trusted-publisher-refused", NO_EXCHANGE))
    assert authorized(npm, pack.name) == (given, NOW + 3600.0 if given == "npm_" else 0.0)
    receipt = npm.publish(pack, Credential(npm.mint(pack.name), float("inf")))
    assert receipt.sent is documented(Sent.ACCEPTED, verdaccio=Instead(Sent.DENIED, NO_TOKEN))


def test_untrusted(npm: Served, documented: Documented) -> None:
    """A package without a trusted publisher, and one that does not exist, are 404 to the exchange"""
    pack = npm.new()
    npm.put(pack)
    refusal = documented("404 OIDC token exchange error - package not found", verdaccio=Instead("404", NO_EXCHANGE))
    for name in (pack.name, npm.new().name):
        assert said(npm.exchange(name)) == refusal
        assert authorized(npm, name)[0] == "trusted-publisher-refused"


def test_no_identity(npm: Served, documented: Documented) -> None:
    """What is no identity of this job, or for this registry, is 401 to the exchange"""
    pack = npm.new()
    npm.put(pack)
    npm.setting.trust(pack.name)
    answers = [
        npm.exchange(pack.name, jwt=""),
        npm.exchange(pack.name, jwt="not.a.token"),
        npm.exchange(pack.name, aud="npm:example.invalid"),
        npm.exchange(pack.name, iss="https://example.invalid"),
    ]
    assert {said(answer) for answer in answers} == {
        documented("401 OIDC token exchange error - unauthorized", verdaccio=Instead("404", NO_EXCHANGE))
    }


def test_minted_scope(npm: Served, documented: Documented) -> None:
    """A minted token publishes its package and no other, and creates none"""
    mine, other, new = npm.new(), npm.new(), npm.new()
    for pack in (mine, other):
        npm.put(pack)
        npm.setting.trust(pack.name)
    token = npm.mint(mine.name)
    answers = [npm.put(Pack(pack.name, "1.1.0"), token=token) for pack in (mine, other, new)]
    statuses = documented([200, 404, 404], verdaccio=Instead([401, 401, 401], NO_TOKEN))
    assert [answer.status_code for answer in answers] == statuses
    if statuses[0] == 200:
        assert [said(answer)[:13] for answer in answers[1:]] == ["404 Not found"] * 2


def test_minted_life(npm: Served, documented: Documented) -> None:
    """A minted token is worthless after its hour"""
    pack = npm.new()
    npm.put(pack)
    npm.setting.trust(pack.name)
    token = npm.mint(pack.name)
    npm.setting.clock += 3599.75
    answers = [npm.put(Pack(pack.name, "1.1.0"), token=token)]
    npm.setting.clock += 0.25
    answers += [npm.put(Pack(pack.name, "1.2.0"), token=token)]
    assert [answer.status_code for answer in answers] == documented([200, 404], verdaccio=Instead([401, 401], NO_TOKEN))


DENIED = "403 OIDC permission denied for this action"


def test_minted_actions(npm: Served, documented: Documented) -> None:
    """A minted token sets no dist-tag, removes none and unpublishes nothing"""
    pack = npm.new()
    npm.put(pack)
    npm.setting.trust(pack.name)
    bearing = npm.bearing(npm.mint(pack.name))
    tags = f"{npm.url}/-/package/{pack.name}/dist-tags/old"
    revised = f"{npm.url}/{pack.name}/-rev/{npm.packument(pack.name)['_rev']}"
    answers = [
        npm.http.put(tags, json="1.0.0", headers=bearing),
        npm.http.delete(tags, headers=bearing),
        npm.http.put(revised, json={"versions": {}, "dist-tags": {}}, headers=bearing),
        npm.http.delete(revised, headers=bearing),
        npm.http.delete(f"{npm.url}/{pack.name}/-/{pack.base}/-rev/1-0", headers=bearing),
    ]
    assert {said(answer).replace(pack.name, "NAME").replace("unpublish", "publish") for answer in answers} == {
        documented(DENIED, verdaccio=Instead(f"401 {AUTHORIZE} NAME", NO_TOKEN))
    }
    assert npm.seen(pack) == "ours"


def test_permissions(npm: Served, documented: Documented) -> None:
    """A trusted publisher does what its configuration permits: publish, stage, or both"""
    outcomes: list[tuple[int, int]] = []
    neither = "it has neither trusted nor staged publishing"
    refusals: set[str] = set()
    for permissions in ({"createPackage"}, {"createStagedPackage"}, {"createPackage", "createStagedPackage"}):
        pack = npm.new()
        npm.put(pack)
        npm.setting.trust(pack.name, permissions=frozenset(permissions))
        token = npm.mint(pack.name)
        answers = npm.put(Pack(pack.name, "1.1.0"), token=token), stage(npm, Pack(pack.name, "1.2.0"), token)
        outcomes.append((answers[0].status_code, answers[1].status_code))
        refusals |= {said(answer) for answer in answers if answer.status_code == 403}
    assert outcomes == documented([(200, 403), (403, 201), (200, 201)], verdaccio=Instead([(401, 404)] * 3, neither))
    none: set[str] = set()
    assert refusals == documented({DENIED}, verdaccio=Instead(none, neither))


def test_publisher_needs_a_package(npm: Served, documented: Documented) -> None:
    """A package must exist before it can have a trusted publisher"""
    try:
        npm.setting.trust(npm.new().name)
    except ConfigError as error:
        code = error.code
    else:
        code = ""
    assert code == documented("publisher-without-package", verdaccio=Instead("", "it has no trusted publishers"))


# staged publishing


def stage(npm: Served, pack: Pack, token: str | None = None, tag: str = "latest", **more: Any) -> httpx.Response:
    path = f"{npm.url}/-/stage/package/{escaped(pack.name)}"
    return npm.http.post(path, json=pack.document(tag, **more), headers=npm.bearing(token))


def stage_id(answer: httpx.Response) -> str:
    """The number of what was staged; one that is nobody's where nothing was."""
    return str(answer.json()["stageId"]) if answer.status_code == 201 else str(uuid.UUID(int=0))


def staged(npm: Served, path: str = "", method: str = "GET", otp: str = "", token: str | None = None) -> httpx.Response:
    headers = npm.bearing(token) | ({"npm-otp": otp} if otp else {})
    return npm.http.request(method, f"{npm.url}/-/stage{path}", headers=headers)


def test_staged(npm: Served, documented: Documented) -> None:
    """A version is staged with the document that would publish it, and nobody sees it"""
    pack = npm.new(scope="@acme/")
    npm.put(Pack(pack.name, "0.9.0"))
    answer = stage(npm, pack)
    body = answer.json() if answer.status_code == 201 else {}
    words = f"{answer.status_code} {body.get('message', '')}".strip()
    assert words == documented("201 Package version staged successfully.", verdaccio=Instead("404", NO_STAGE))
    if body:
        assert (sorted(body), uuid.UUID(body["stageId"]).version) == (["message", "stageId"], 4)
    assert npm.seen(pack) == "no version"
    assert npm.packument(pack.name)["dist-tags"] == {"latest": "0.9.0"}
    assert npm.get(f"/{escaped(pack.name)}/-/{pack.base}").status_code == 404


def test_approved(npm: Served, documented: Documented) -> None:
    """A person with a one-time password approves what is staged, which publishes it under its tag"""
    pack = npm.new("1.0.0-rc.1", scope="@acme/")
    npm.put(Pack(pack.name, "0.9.0"))
    number = stage_id(stage(npm, pack, tag="rc"))
    approved = staged(npm, f"/{number}/approve", "POST", npm.otp)
    assert approved.status_code == documented(201, verdaccio=Instead(404, NO_STAGE))
    if approved.status_code == 201:
        assert approved.json() == {"message": "Package version approved and published successfully."}
    assert npm.seen(pack) == documented("ours", verdaccio=Instead("no version", NO_STAGE))
    assert npm.packument(pack.name)["dist-tags"] == documented(
        {"latest": "0.9.0", "rc": "1.0.0-rc.1"}, verdaccio=Instead({"latest": "0.9.0"}, NO_STAGE)
    )
    assert said(staged(npm, f"/{number}")).partition(" - ")[0] == documented(
        "404 Not Found", verdaccio=Instead("404 File not found", NO_STAGE)
    )


def test_approved_with_lag(npm: Served, documented: Documented) -> None:
    """What was approved shows after the lag of any publication, with the time of its approval"""
    pack = npm.new("1.1.0")
    npm.put(Pack(pack.name))
    number = stage_id(stage(npm, pack))
    npm.setting.clock += 3600
    npm.setting.lag(20)
    staged(npm, f"/{number}/approve", "POST", npm.otp)
    shown = []
    for seconds in (0, 19, 1):
        npm.setting.clock += seconds
        shown.append("1.1.0" in npm.packument(pack.name)["versions"])
    assert shown == documented([False, False, True], verdaccio=Instead([False] * 3, NO_STAGE))
    time = npm.packument(pack.name)["time"].get("1.1.0")
    assert time == documented("2027-01-15T09:00:00.000Z", verdaccio=Instead(None, NO_STAGE))


def test_second_factor(npm: Served, documented: Documented) -> None:
    """Without the right one-time password nothing is approved or rejected"""
    pack = npm.new("1.1.0")
    npm.put(Pack(pack.name))
    number = stage_id(stage(npm, pack))
    answers = [
        staged(npm, path, method, otp)
        for path, method in ((f"/{number}/approve", "POST"), (f"/{number}", "DELETE"))
        for otp in ("", "wrong")
    ]
    theirs = Instead({"404", "404 File not found"}, NO_STAGE)
    assert {said(answer) for answer in answers} <= documented({"401 Unauthorized"}, verdaccio=theirs)
    challenge = documented("OTP", verdaccio=Instead("nothing", NO_STAGE))
    assert {answer.headers.get("www-authenticate", "nothing") for answer in answers} == {challenge}
    assert staged(npm, f"/{number}").status_code == documented(200, verdaccio=Instead(404, NO_STAGE))
    assert npm.seen(pack) == "no version"


def test_rejected(npm: Served, documented: Documented) -> None:
    """What is rejected is gone, and its number is free again"""
    pack = npm.new("1.1.0")
    npm.put(Pack(pack.name))
    number = stage_id(stage(npm, pack))
    rejected = staged(npm, f"/{number}", "DELETE", npm.otp)
    assert rejected.status_code == documented(204, verdaccio=Instead(404, NO_STAGE))
    assert (rejected.content == b"") is (rejected.status_code == 204)
    gone = documented(
        "404 Not Found - No staged package version found with the provided ID.",
        verdaccio=Instead("404", NO_STAGE),
    )
    again = [
        staged(npm, f"/{number}/approve", "POST", npm.otp),
        staged(npm, f"/{number}", "DELETE", npm.otp),
        staged(npm, f"/{number}"),
        staged(npm, f"/{number}/tarball"),
    ]
    assert all(said(answer).startswith(gone) for answer in again)
    assert stage(npm, pack).status_code == documented(201, verdaccio=Instead(404, NO_STAGE))


def test_stage_view(npm: Served, documented: Documented) -> None:
    """What is staged can be looked at: who, when, under which tag, which bytes"""
    pack = npm.new("1.1.0", scope="@acme/")
    npm.put(Pack(pack.name))
    number = stage_id(stage(npm, pack, tag="next"))
    view = staged(npm, f"/{number}")
    item = {
        "id": number,
        "packageName": pack.name,
        "version": "1.1.0",
        "tag": "next",
        "createdAt": TIME,
        "actor": "maintainer",
        "actorType": "user",
        "access": "public",
        "shasum": pack.shasum,
    }
    tarball = staged(npm, f"/{number}/tarball")
    status = documented(200, verdaccio=Instead(404, NO_STAGE))
    assert (view.status_code, tarball.status_code) == (status, status)
    kind = tarball.headers["content-type"].partition(";")[0]
    assert kind == documented("application/octet-stream", verdaccio=Instead(FULL, NO_STAGE))
    if status == 200:
        assert (view.json(), tarball.content) == (item, pack.content)


def test_stage_access(npm: Served, documented: Documented) -> None:
    """What is staged has the access that it asks for, else its package's"""
    seen = []
    for before, asked in ((None, None), (None, "restricted"), ("restricted", None), ("restricted", "public")):
        pack = npm.new("1.1.0", scope="@acme/")
        npm.put(Pack(pack.name), access=before)
        view = staged(npm, f"/{stage_id(stage(npm, pack, access=asked))}")
        seen.append(view.json().get("access", "none"))
    assert ", ".join(seen) == documented(
        "public, private, private, public", verdaccio=Instead("none, none, none, none", NO_STAGE)
    )


def test_staged_by_a_job(npm: Served, documented: Documented) -> None:
    """A job stages by its identity, looks at nothing and approves nothing"""
    pack = npm.new("1.1.0")
    npm.put(Pack(pack.name))
    npm.setting.trust(pack.name, permissions=frozenset({STAGE}))
    token = npm.mint(pack.name)
    number = stage_id(stage(npm, pack, token))
    view = staged(npm, f"/{number}").json()
    assert ", ".join((view.get("actor", "nobody"), view.get("actorType", "nothing"))) == documented(
        "GitHub Actions, trusted automation", verdaccio=Instead("nobody, nothing", NO_STAGE)
    )
    looks = [staged(npm, path, token=token) for path in ("", f"/{number}", f"/{number}/tarball")]
    assert {said(answer) for answer in looks} <= documented(
        {"401 Unauthorized"}, verdaccio=Instead({"404 File not found", f"404 {NOTHING}"}, NO_STAGE)
    )
    acts = [
        staged(npm, f"/{number}/approve", "POST", npm.otp, token),
        staged(npm, f"/{number}", "DELETE", npm.otp, token),
    ]
    assert {said(answer) for answer in acts} <= documented(
        {"403 Insufficient permissions to access this resource"},
        verdaccio=Instead({"404", "404 File not found"}, NO_STAGE),
    )
    assert npm.seen(pack) == "no version"


def test_stage_unauthorized(npm: Served, documented: Documented) -> None:
    """Staging and its list are closed to unknown tokens"""
    pack = npm.new("1.1.0")
    npm.put(Pack(pack.name))
    number = stage_id(stage(npm, pack))
    for token in ("", "npm_wrong"):
        answers = [
            stage(npm, Pack(pack.name, "1.2.0"), token),
            staged(npm, token=token),
            staged(npm, f"/{number}", token=token),
            staged(npm, f"/{number}/tarball", token=token),
            staged(npm, f"/{number}/approve", "POST", npm.otp, token),
            staged(npm, f"/{number}", "DELETE", npm.otp, token),
        ]
        assert {answer.status_code for answer in answers} == {documented(401, verdaccio=Instead(404, NO_STAGE))}
        assert {said(answer) for answer in answers} <= documented(
            {"401 Unauthorized"},
            verdaccio=Instead({"404", "404 File not found", f"404 {NOTHING}"}, NO_STAGE),
        )


def test_stage_needs_a_package(npm: Served, documented: Documented) -> None:
    """Only a package that exists can be staged for, and with a minted token only its own"""
    pack = npm.new()
    npm.put(pack)
    answers = [stage(npm, npm.new()), stage(npm, Pack(pack.name, "1.1.0"), npm.stranger)]
    assert {said(answer) for answer in answers} == {
        documented("404 Not Found - The specified package does not exist.", verdaccio=Instead("404", NO_STAGE))
    }


def test_stage_uniqueness(npm: Served, documented: Documented) -> None:
    """Staged, published and unpublished versions of a package share one index"""
    name = npm.new().name
    npm.put(Pack(name))
    npm.put(Pack(name, "1.0.1"))
    npm.keep(name, "1.0.0")
    stage(npm, Pack(name, "1.1.0"))
    taken = [stage(npm, Pack(name, version)) for version in ("1.0.0", "1.0.1", "1.1.0")]
    assert {said(answer) for answer in taken} == {
        documented(
            "409 Conflict - The request could not be completed due to a conflict.",
            verdaccio=Instead("404", NO_STAGE),
        )
    }
    free = "it has no staged publishing, so the number is free"
    assert said(npm.put(Pack(name, "1.1.0"))) == documented(
        "403 You cannot publish over the previously published versions: 1.1.0.", verdaccio=Instead("201", free)
    )
    other = npm.new("1.1.0")
    npm.put(Pack(other.name))
    assert stage(npm, other).status_code == documented(201, verdaccio=Instead(404, NO_STAGE))


def test_stage_document(npm: Served, documented: Documented) -> None:
    """A staged document is checked as a published one is"""
    pack = npm.new("1.1.0", manifest={"repository": f"{SOURCE}s"})
    npm.put(Pack(pack.name))
    wrong = pack.document()
    attached(wrong)["length"] = 1
    forged, _ = with_provenance(pack, statement(pack))
    path = f"{npm.url}/-/stage/package/{pack.name}"
    answers = [npm.http.post(path, json=body, headers=npm.bearing()) for body in (wrong, forged)]
    assert [answer.status_code for answer in answers] == documented([400, 422], verdaccio=Instead([404, 404], NO_STAGE))
    assert stage(npm, pack).status_code == documented(201, verdaccio=Instead(404, NO_STAGE))


def test_stage_list(npm: Served, documented: Documented) -> None:
    """What is staged is listed newest first, ten a page and a hundred at most, of one package or of all"""
    pack, other = npm.new(), npm.new("1.1.0")
    for each in (pack, Pack(other.name)):
        npm.put(each)
    stage(npm, other)
    for minor in range(1, 13):
        stage(npm, Pack(pack.name, f"1.{minor}.0"))

    def page(query: str) -> tuple[object, ...]:
        body = staged(npm, query).json()
        items = [item["version"] for item in body.get("items", ())]
        return items, body.get("page"), body.get("perPage"), body.get("total")

    nothing: tuple[object, ...] = ([], None, None, None)
    versions = [f"1.{minor}.0" for minor in range(12, 0, -1)]
    pages: dict[str, tuple[object, ...]] = {
        "": (versions[:10], 0, 10, 12),
        "&page=1": (versions[10:], 1, 10, 12),
        "&page=1&perPage=5": (versions[5:10], 1, 5, 12),
        "&perPage=101": (versions, 0, 100, 12),
    }
    listed = documented("12 in pages", verdaccio=Instead("none", NO_STAGE)) != "none"
    for query, items in pages.items():
        assert page(f"?package={pack.name}{query}") == (items if listed else nothing)
    everything = staged(npm, "?perPage=100").json().get("items", [])
    names = [item["packageName"] for item in everything[:13]]
    assert names == ([pack.name] * 12 + [other.name] if listed else [])
