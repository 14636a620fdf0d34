"""Whether what a run was shown allows an irreversible effect: read from the release's own documents, by plain rules."""

from __future__ import annotations

import functools
import hashlib
import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.simulation.scheduler import Event

LIFETIME = 72 * 3600.0
FACTS = ("releases", "file", "tag", "branches_with", "freeze_of", "checks")
Place = tuple[str, str, str, str, str]
"""Registry, package, version, file as listed, digest as listed."""


@dataclass(frozen=True)
class Manifest:
    """``release.json`` as the oracle reads it."""

    digest: str
    document: Mapping[str, Any]
    places: Mapping[str, Place]
    """By effect."""

    @property
    def version(self) -> str:
        return str(self.document["version"])

    @property
    def deliveries(self) -> Sequence[Mapping[str, Any]]:
        return self.document["downstream"]  # type: ignore[no-any-return]

    @functools.cached_property
    def artifacts(self) -> Mapping[str, str]:
        return {a["name"]: a["sha256"] for a in self.document["artifacts"]}

    @functools.cached_property
    def digests(self) -> frozenset[str]:
        return frozenset(p[4] for p in self.places.values())

    @functools.cached_property
    def all_places(self) -> frozenset[Place]:
        return frozenset(self.places.values())

    def needs(self, publication: str) -> Sequence[str]:
        found = [p["needs"] for p in self.document["publications"] if p["id"] == publication]
        return found[0] if found else ()

    def places_of(self, publication: str) -> Iterator[Place]:
        for p in self.document["publications"]:
            if p["id"] == publication:
                for name in p["files"]:
                    yield self.places[f"{p['registry']}/{p['package']}/{p['version']}/{name}"]


def read_manifest(releases: Sequence[Any], uploaded: Mapping[int, bytes]) -> Manifest | None:
    """The manifest on the release that counts: the public one, else the oldest draft."""
    release = _counting(releases)
    asset = next((a for a in release.assets if a.name == "release.json"), None) if release else None
    return _manifest(uploaded[asset.id]) if asset else None


def _counting(releases: Sequence[Any]) -> Any:
    public = [r for r in releases if not r.draft]
    return min(public or releases, key=lambda r: r.id, default=None)


@functools.lru_cache(maxsize=64)
def _manifest(data: bytes) -> Manifest:
    document = json.loads(data)
    artifacts = {a["name"]: a for a in document["artifacts"]}
    places = {}
    for p in document["publications"]:
        for name in p["files"]:
            a = artifacts[name]
            listed, digest = name, f"sha256:{a['sha256']}"
            if p["registry"] != "pypi":
                ending = "crate" if p["registry"] == "crates.io" else "tgz"
                listed = f"{p['package'].rpartition('/')[2]}-{p['version']}.{ending}"
            if p["registry"] == "npm":
                digest = f"sha512:{a['sha512']}"
            key = f"{p['registry']}/{p['package']}/{p['version']}/{name}"
            places[key] = (p["registry"], p["package"], p["version"], listed, digest)
    return Manifest("sha256:" + hashlib.sha256(data).hexdigest(), document, places)


@functools.lru_cache(maxsize=64)
def _policy(data: bytes) -> Mapping[str, Any]:
    return tomllib.loads(data.decode())


class Guard:
    """The *facts* that a task read before an effect. ``manifest`` is None where it did not read one."""

    def __init__(self, facts: Mapping[str, Event], uploaded: Mapping[int, bytes], *, begun: bool) -> None:
        self._facts = facts
        self._uploaded = uploaded
        self._begun = begun
        releases = facts.get("releases")
        self.manifest = read_manifest(releases.result or (), uploaded) if releases else None

    def objections(self) -> Iterator[tuple[str, str]]:
        """Which invariant does not hold, and why."""
        unread = [name for name in FACTS if name not in self._facts]
        if unread:
            yield "I6", f"{', '.join(unread)} not read again since its intent"
            return
        if self.manifest is None:
            yield "I2", "there was no release.json"
            return
        policy = self._facts["file"].result or b""
        if "sha256:" + hashlib.sha256(policy).hexdigest() != self.manifest.document["policy"]["digest"]:
            yield "I2", "the policy was another one, or none"
            return
        yield from self._world(self.manifest, _policy(policy))
        yield from self._votes(self.manifest, _policy(policy)["approval"])

    def _world(self, manifest: Manifest, policy: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        facts, tag = self._facts, manifest.document["tag"]
        seen = facts["tag"].result
        if seen is None or (seen.object, seen.commit) != (tag["object"], tag["commit"]):
            yield "I6", "the tag was another one"
        if not facts["branches_with"].result:
            yield "I6", "the branch did not have the commit"
        if facts["freeze_of"].result is not None:
            yield "I6", "it was frozen"
        for check in policy["checks"]["required"]:
            if str(facts["checks"].result.get(check)) not in ("success", "skipped"):
                yield "I6", f"check {check} was not green"
        release = _counting(facts["releases"].result)
        shown = {a.name: a.digest for a in release.assets}
        for name, digest in manifest.artifacts.items():
            if shown.get(name) != f"sha256:{digest}":
                yield "I6", f"{name} was another file, or none"

    def _votes(self, manifest: Manifest, rule: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        approvers: set[int] = set()
        read = self._facts["releases"]
        for asset in _counting(read.result).assets:
            if not asset.name.startswith("approval-") or not asset.complete:
                continue
            record = json.loads(self._uploaded[asset.id])
            voter = self._facts.get(f"voter {asset.by.id}")
            if record["manifest"] != manifest.digest or voter is None or not voter.result.human:
                continue
            if not (voter.result.roles or frozenset()) & set(rule["approvers"]):
                continue
            if record["decision"] == "reject":
                yield "I2", f"{asset.by.login} had rejected it"
            elif self._counts(asset, record, manifest, voter):
                approvers.add(asset.by.id)
        if len(approvers) < rule["quorum"]:
            yield "I2", f"{len(approvers)} of {rule['quorum']} approvals were good"

    def _counts(self, asset: Any, record: Mapping[str, Any], manifest: Manifest, voter: Event) -> bool:
        """An approval of this very release, by neither its tagger nor its initiator, and not too old."""
        document = manifest.document
        age = voter.time + _EPOCH - asset.at.timestamp()
        about = (record["policy"], record["tag"], record["repository"])
        wanted = (document["policy"]["digest"], document["tag"]["name"], document["repository"]["name"])
        initiator = document["initiator"]["id"] if document.get("initiator") else 0
        return (
            about == wanted
            and asset.by.id != initiator
            and document["tag"]["tagger"] not in voter.result.emails
            and (self._begun or age < LIFETIME)
        )


_EPOCH = 1767614400.0
