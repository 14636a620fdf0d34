"""The Python index's trusted publishing and attestations: who is given a token, for what, and for how long.

warehouse oidc/{views,services}.py, oidc/models/github.py, attestations/services.py,
docs/user/api/integrity.md; PEP 740.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from releaser.engine.ports import Credential
from releaser.model.facts import Listing, Presence
from tests.contracts.dists import PUBLISH, SLSA, Dist, attestation, sdist, wheel
from tests.contracts.python_indexes import (
    ABSENT,
    NOW,
    PYPISERVER,
    UNAUTHENTIC,
    Index,
    anchors,
    fixtures,
    minted,
    said,
)
from tests.contracts.table import REHEARSAL, Documented, Instead

TITLE = "The Python index: trusted publishing and attestations"
NO_OIDC = "it has no trusted publishing"
NONE_MINTED = Instead(ABSENT, NO_OIDC)
UNTRUSTED = "422 invalid-publisher: valid token, but no corresponding publisher"
INVALID = "422 invalid-token: malformed or invalid token"
NO_TOKEN = "422 invalid-payload: token: Input should be a valid string"

at, index, project = fixtures(REHEARSAL, PYPISERVER)


# trusted publishing


def test_audience(index: Index, documented: Documented) -> None:
    """The index says for whom an identity must be"""
    answer = index.get("/_/oidc/audience")
    assert said(answer) == documented("200", pypiserver=NONE_MINTED)
    if answer.status_code == 200:
        assert (answer.headers["Content-Type"], answer.json()) == ("application/json", {"audience": "pypi"})


def test_mint(index: Index, documented: Documented, project: str) -> None:
    """A trusted job is given a token for a quarter of an hour, which publishes"""
    index.add_project(project)
    index.trust(project)

    credential = index.authorize(project)
    expires = credential.expires if isinstance(credential, Credential) else credential
    assert expires == documented(NOW + 900, pypiserver=NONE_MINTED)
    assert index.publish(wheel(project), token=index.job_token(project)) == "200"
    assert index.presence(wheel(project)) is Presence.SAME


def test_minted(index: Index, documented: Documented, project: str) -> None:
    """The answer to an exchange has success, token and expiry"""
    index.add_project(project)
    index.trust(project)

    answer = index.exchange({"token": index.issuer.token("pypi")})
    assert said(answer) == documented("200", pypiserver=NONE_MINTED)
    if answer.status_code == 200:
        document = answer.json()
        assert document.pop("token").startswith("pypi-")
        assert document == {"success": True, "expires": int(NOW) + 900}
        assert answer.headers["Content-Type"] == "application/json"


def without_code(answer: str) -> str:
    """What the adapter shows of a refusal."""
    status, _, rest = answer.partition(" ")
    return f"{status} {rest.partition(': ')[2] or rest}"


MISMATCHES: dict[str, dict[str, str]] = {
    "another repository": {"repository": "evil/widget"},
    "another owner of the same name": {"repository_owner_id": "666"},
    "another workflow": {"job_workflow_ref": "acme/widget/.github/workflows/ci.yml@refs/tags/v1.0.0"},
    "a reusable workflow elsewhere": {"job_workflow_ref": "acme/shared/.github/workflows/release.yml@refs/tags/v1.0.0"},
    "a workflow at another ref": {"job_workflow_ref": "acme/widget/.github/workflows/release.yml@refs/heads/x"},
    "another environment": {"environment": "staging"},
    "no environment": {"environment": ""},
    "pull_request_target": {"event_name": "pull_request_target"},
}


@pytest.mark.parametrize("claims", MISMATCHES.values(), ids=MISMATCHES.keys())
def test_mismatch(index: Index, documented: Documented, project: str, claims: dict[str, str]) -> None:
    """A job that nobody trusts gets no token: other repository, owner, workflow, ref, environment, event"""
    index.trust(project)
    index.job(**claims)

    answer = documented(UNTRUSTED, pypiserver=NONE_MINTED)
    assert index.mint() == answer
    assert index.authorize(project) == without_code(answer)
    assert index.listed(wheel(project)) == Listing(package=False)


SAME_JOB: dict[str, dict[str, str]] = {
    "another spelling of the repository": {"repository": "Acme/Widget"},
    "another spelling of the environment": {"environment": "RELEASE"},
    "the workflow by its commit": {
        "job_workflow_ref": f"acme/widget/.github/workflows/release.yml@{'0' * 40}",
        "sha": "0" * 40,
    },
}


@pytest.mark.parametrize("claims", SAME_JOB.values(), ids=SAME_JOB.keys())
def test_same_job(index: Index, documented: Documented, project: str, claims: dict[str, str]) -> None:
    """Letter case in repository and environment is no difference, nor is the workflow's commit instead of its ref"""
    index.add_project(project)
    index.trust(project)
    index.job(**claims)

    answer = documented("200", pypiserver=NONE_MINTED)
    assert index.mint() == answer
    assert isinstance(index.authorize(project), Credential) is (answer == "200")


def test_any_environment(index: Index, documented: Documented, project: str) -> None:
    """A publisher without an environment accepts any; the one that names it is preferred"""
    other = f"{project}-other"
    for name in (project, other):
        index.add_project(name)
    index.trust(project, environment=None)
    index.trust(other, environment="Special")

    assert index.publish(wheel(project), token=index.job_token(project)) == "200"
    index.job(environment="special")
    token = index.job_token(other)
    assert index.publish(wheel(other), token=token) == "200"
    answer = documented(
        "403 Invalid API Token: OIDC scoped token is not valid for project '{project}'",
        pypiserver=Instead("200", "its passwords are good for every project"),
    )
    assert index.publish(sdist(project), token=token) == answer.format(project=project)


def test_scope(index: Index, documented: Documented, project: str) -> None:
    """A token is good for the projects of its publisher alone, and creates none"""
    mine, also_mine, foreign, unknown = (f"{project}-{name}" for name in ("mine", "also", "foreign", "unknown"))
    for name in (mine, also_mine, foreign):
        index.add_project(name)
    index.trust(mine)
    index.trust(also_mine.upper().replace("-", "_"), repository="Acme/Widget")
    token = index.job_token(mine)
    every = "its passwords are good for every project"

    assert [index.publish(wheel(name), token=token) for name in (mine, also_mine)] == ["200", "200"]
    for send in (index.send, index.publish):
        make = wheel if send == index.send else sdist
        not_valid = documented(
            "403 Invalid API Token: OIDC scoped token is not valid for project '{project}'",
            pypiserver=Instead("200", every),
        )
        assert send(make(foreign), token=token) == not_valid.format(project=foreign)
        assert send(make(unknown), token=token) == documented(
            "400 Non-user identities cannot create new projects.", pypiserver=Instead("200", every)
        )


def test_token_life(index: Index, documented: Documented, project: str) -> None:
    """A token is good until it expires, and for nothing afterwards"""
    index.add_project(project)
    index.trust(project)
    token = index.job_token(project)

    index.later(899)
    assert index.publish(wheel(project), token=token) == "200"
    index.later(1)
    assert index.publish(sdist(project), token=token) == documented(
        UNAUTHENTIC, pypiserver=Instead("200", "its passwords do not expire")
    )


def test_burn(index: Index, documented: Documented, project: str) -> None:
    """A token that was given back is good for nothing; one of a person cannot be given back so"""
    index.add_project(project)
    index.trust(project)
    token = index.job_token(project)

    for given in (token, index.token, "pypi-unknown"):
        answer = index.http.post(f"{index.root}/_/oidc/burn-token", json={"token": given})
        assert said(answer) == documented("200", pypiserver=NONE_MINTED)
    assert index.publish(wheel(project), token=token) == documented(
        UNAUTHENTIC, pypiserver=Instead("200", "its passwords cannot be given back")
    )
    assert index.publish(sdist(project)) == "200"


def test_pending(index: Index, documented: Documented, project: str) -> None:
    """A pending publisher becomes the project's when a job first asks for a token"""
    index.trust(project)
    assert index.listed(wheel(project)) == Listing(package=False)

    token = index.job_token(project)
    assert index.listed(wheel(project)) == documented(
        Listing(package=True), pypiserver=Instead(Listing(package=False), NO_OIDC)
    )
    assert index.publish(wheel(project), token=token) == "200"
    assert index.mint() == documented("200", pypiserver=NONE_MINTED)


def test_spoilt_pending(index: Index, documented: Documented, project: str) -> None:
    """A project that was created otherwise spoils its pending publisher"""
    index.trust(project)
    assert index.send(wheel(project)) == "200"

    assert index.mint() == documented(
        "422 invalid-pending-publisher: valid token, but project already exists", pypiserver=NONE_MINTED
    )
    assert index.mint() == documented(UNTRUSTED, pypiserver=NONE_MINTED)


def test_replay(index: Index, documented: Documented, project: str) -> None:
    """An identity is good for one token, and is spent by success alone"""
    identity = {"token": index.issuer.token("pypi")}
    assert minted(index.exchange(identity)) == documented(UNTRUSTED, pypiserver=NONE_MINTED)

    index.add_project(project)
    index.trust(project)
    assert minted(index.exchange(identity)) == documented("200", pypiserver=NONE_MINTED)
    assert minted(index.exchange(identity)) == documented(
        "422 invalid-reuse-token: invalid token: already used", pypiserver=NONE_MINTED
    )


@pytest.mark.parametrize(
    "body",
    [{}, {"jwt": "e30.e30.x"}, {"token": 1}, {"token": None}, [], "text", None],
    ids=["empty", "other key", "number", "null token", "list", "text", "null"],
)
def test_payload(index: Index, documented: Documented, body: object) -> None:
    """An exchange without a token is an invalid payload"""
    assert minted(index.exchange(body)) == documented(NO_TOKEN, pypiserver=NONE_MINTED)


def test_payload_no_json(index: Index, documented: Documented) -> None:
    """An exchange that is no JSON is an invalid payload"""
    answer = index.http.post(f"{index.root}/_/oidc/mint-token", content=b"no json")

    assert minted(answer) == documented(NO_TOKEN, pypiserver=NONE_MINTED)


IDENTITIES: dict[str, dict[str, Any]] = {
    "for another audience": {"aud": "testpypi"},
    "for several": {"aud": ["pypi", "npm"]},
    "of another issuer": {"iss": "https://example.invalid"},
    "expired": {"exp": int(NOW) - 30},
    "not valid yet": {"nbf": int(NOW) + 31},
    "of the future": {"iat": int(NOW) + 31},
}


@pytest.mark.parametrize("claims", IDENTITIES.values(), ids=IDENTITIES.keys())
def test_invalid_identity(index: Index, documented: Documented, project: str, claims: dict[str, Any]) -> None:
    """An identity for another audience, of another issuer, too old or too new is invalid"""
    index.add_project(project)
    index.trust(project)

    answer = index.exchange({"token": index.issuer.token("pypi", **claims)})
    assert minted(answer) == documented(INVALID, pypiserver=NONE_MINTED)


@pytest.mark.parametrize("token", ["", "e30.e30.x", "no token"])
def test_malformed_identity(index: Index, documented: Documented, token: str) -> None:
    """What is no identity is invalid"""
    assert minted(index.exchange({"token": token})) == documented(INVALID, pypiserver=NONE_MINTED)


def test_leeway(index: Index, documented: Documented, project: str) -> None:
    """Clocks may differ by half a minute"""
    index.add_project(project)
    index.trust(project)

    for claims in ({"exp": int(NOW) - 29}, {"nbf": int(NOW) + 30}, {"iat": int(NOW) + 30}):
        answer = index.exchange({"token": index.issuer.token("pypi", **claims)})
        assert said(answer) == documented("200", pypiserver=NONE_MINTED)


def test_switched_off(index: Index, documented: Documented, project: str) -> None:
    """Trusted publishing that is switched off says so, and the adapter shows it"""
    index.configure(oidc_enabled=False)

    assert index.mint() == documented(
        "422 not-enabled: GitHub-based trusted publishing functionality not enabled", pypiserver=NONE_MINTED
    )
    audience = index.get("/_/oidc/audience")
    assert said(audience) == documented("403 Forbidden", pypiserver=NONE_MINTED)
    assert index.authorize(project) == documented(
        "403 Trusted publishing functionality not enabled", pypiserver=NONE_MINTED
    )


# attestations


@pytest.mark.parametrize("predicates", [[SLSA], [PUBLISH], [SLSA, PUBLISH]], ids=["one", "the other", "both"])
def test_attestations(index: Index, documented: Documented, project: str, predicates: list[str]) -> None:
    """Attestations that came with a file are shown with it, under the publisher's name"""
    index.add_project(project)
    index.trust(project)
    dist = wheel(project)
    sent = [attestation(dist, predicate) for predicate in predicates]
    token = index.job_token(project)
    assert index.send(dist, token=token, fields={"attestations": json.dumps(sent)}) == "200"

    path = f"/integrity/{project}/1.0/{dist.filename}/provenance"
    (entry,) = index.document(project)["files"]
    none = "it drops attestations"
    assert entry.get("provenance") == (index.root + path if documented(True, pypiserver=Instead(False, none)) else None)
    html = index.page(project, "text/html").text
    assert anchors(html)[dist.filename].get("data-provenance") == entry.get("provenance")
    answer = index.get(path)
    assert said(answer) == documented("200", pypiserver=Instead(ABSENT, none))
    if answer.status_code == 200:
        publisher = {
            "kind": "GitHub",
            "repository": "acme/widget",
            "workflow": "release.yml",
            "environment": "release",
        }
        bundle = {"publisher": publisher, "attestations": sent}
        assert answer.json() == {"version": 1, "attestation_bundles": [bundle]}
        assert answer.headers["Content-Type"] == "application/json"


def test_no_provenance(index: Index, project: str) -> None:
    """A file without attestations has no provenance, no more than one that is not there"""
    assert index.send(wheel(project)) == "200"

    for name in (wheel(project).filename, sdist(project).filename):
        assert said(index.get(f"/integrity/{project}/1.0/{name}/provenance")) == ABSENT


def test_late_attestation(index: Index, project: str) -> None:
    """Attestations are not added to a file that is there"""
    index.add_project(project)
    index.trust(project)
    dist, token = wheel(project), index.job_token(project)
    assert index.send(dist, token=token) == "200"

    index.send(dist, token=token, fields={"attestations": json.dumps([attestation(dist)])})
    assert [entry.get("provenance") for entry in index.document(project)["files"]] == [None]


HALF = "Invalid base64-encoded string: number of data characters (1) cannot be 1 more than a multiple of 4"
INCOMPLETE = "version, certificate and transparency entries are wanted"
BAD_ATTESTATIONS: dict[str, tuple[Callable[[Dist], object], str]] = {
    "about another file": (
        lambda dist: [attestation(dist, subject=[{"name": "x.whl", "digest": {"sha256": dist.sha256}}])],
        "subject is not the uploaded file",
    ),
    "about other bytes": (
        lambda dist: [attestation(replace(dist, content=b"other"))],
        "subject is not the uploaded file",
    ),
    "about nothing": (
        lambda dist: [attestation(dist, subject=[])],
        "not enough values to unpack (expected 1, got 0)",
    ),
    "of an unknown predicate": (
        lambda dist: [attestation(dist, "https://example.invalid/v1")],
        "unsupported predicate type https://example.invalid/v1",
    ),
    "twice of one type": (lambda dist: [attestation(dist)] * 2, "multiple of one predicate type"),
    "three": (
        lambda dist: [attestation(dist), attestation(dist, PUBLISH), attestation(dist)],
        "one or two are wanted",
    ),
    "none": (lambda _: [], "one or two are wanted"),
    "of another version": (lambda dist: [attestation(dist, version=2)], INCOMPLETE),
    "without certificate": (lambda dist: [attestation(dist, certificate="")], INCOMPLETE),
    "without log entry": (lambda dist: [attestation(dist, transparency_entries=[])], INCOMPLETE),
    "with no signature": (lambda dist: [attestation(dist, signature="A")], HALF),
    "with half a statement": (lambda dist: [attestation(dist, statement="A")], HALF),
    "without its parts": (lambda _: [{"version": 1}], "'verification_material'"),
    "no list": (lambda _: {"version": 1}, "string indices must be integers, not 'str'"),
}


@pytest.mark.parametrize(("make", "why"), BAD_ATTESTATIONS.values(), ids=BAD_ATTESTATIONS.keys())
def test_bad_attestation(
    index: Index, documented: Documented, project: str, make: Callable[[Dist], object], why: str
) -> None:
    """A wrong attestation refuses its file"""
    index.add_project(project)
    index.trust(project)
    dist = wheel(project)

    status = documented("400", pypiserver=Instead("200", "it drops attestations"))
    answer = {"200": "200", "400": f"400 Invalid attestations supplied during upload: {why}"}[status]
    fields = {"attestations": json.dumps(make(dist))}
    assert index.send(dist, token=index.job_token(project), fields=fields) == answer
    assert index.presence(dist) is (Presence.SAME if answer == "200" else Presence.ABSENT)
