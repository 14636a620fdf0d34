"""A release as the forge holds it now: manifest, policy in force, votes. Read again before every irreversible step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from releaser.engine.draft import compare, damage, is_approval, put_back, release_of
from releaser.engine.ports import Asset, Outside, Release, RepositoryFacts
from releaser.engine.rights import policy_text, require_rights
from releaser.errors import ConfigError, ConflictError, RefusedError
from releaser.model.approval import Approval, Decision, Vote
from releaser.model.facts import Ballot
from releaser.model.manifest import ASSET, CHECKSUMS, Manifest, Person
from releaser.model.policy import DEFAULT_PATH, Policy, policy_digest
from releaser.model.terms import Registries

_MANIFEST_LIMIT = 16 << 20
_APPROVAL_LIMIT = 64 << 10
PolicyReader = Callable[[str, str], Policy]
"""Parses a policy text; the second argument names it in errors."""


@dataclass(frozen=True, slots=True)
class Published:
    """The forge's word that *by* made the draft public: the sender of the ``release: published`` event."""

    by: Person
    at: datetime
    release: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """A release with the policy that judges it now: a complete draft, or a public one with what damaged it since."""

    release: Release
    manifest: Manifest
    policy: Policy
    policy_digest: str
    damage: tuple[ConflictError, ...] = ()

    @property
    def digest(self) -> str:
        return self.manifest.digest()


def candidate(
    outside: Outside,
    tag: str,
    read_policy: PolicyReader,
    registries: Registries,
    policy_path: str = DEFAULT_PATH,
    before: Candidate | None = None,
) -> Candidate:
    """The release of *tag*, its manifest checked against repository, files and the policy at *policy_path*.

    Where manifest and policy are still those of *before*, they are not parsed and held against each other again.

    Raises RefusedError ``release-missing``, ConfigError ``policy-missing``, ExternalError when the forge cannot be
    read. For a draft also RefusedError ``release-incomplete``, ``manifest-foreign``, ``policy-elsewhere`` or
    ``manifest-widened``, and ConflictError for swapped or extra files. For a public release, ConflictError
    ``release-damaged`` where its ``release.json`` cannot be used; what is wrong with other files is in ``damage``.
    """
    release = release_of(outside.forge.releases(tag))
    if release is None:
        raise RefusedError(
            "release-missing",
            f"there is no release of {tag} that we can see",
            object=tag,
            found="no draft and no release",
            wanted="a draft with release.json",
            hint=f"releaser draft {tag} --artifacts DIR (a token without write access does not see drafts)",
        )
    here = outside.forge.repository()
    with _damage_once_public(release):
        manifest = _manifest(outside, release, here, policy_path)
    damaged = _damage(release, manifest)
    text = policy_text(outside.forge, here.default_branch, policy_path)
    digest = policy_digest(text)
    if before is not None and (before.digest, before.policy_digest) == (manifest.digest(), digest):
        return Candidate(release, manifest, before.policy, digest, damaged)
    policy = read_policy(text.decode("utf-8", "replace"), policy_path)
    if digest == manifest.policy.digest:
        with _damage_once_public(release):
            require_rights(manifest, policy, registries)
    return Candidate(release, manifest, policy, digest, damaged)


def swapped(tag: str, found: str, wanted: str) -> ConflictError:
    """What is wrong where release.json has another digest than the one that is being published."""
    return ConflictError(
        "manifest-swapped",
        "release.json was replaced while it was being published",
        object=tag,
        found=found,
        wanted=wanted,
        hint=f"find out who did it, and put the wanted one back: gh release upload {tag} release.json --clobber",
    )


@contextmanager
def _damage_once_public(release: Release) -> Iterator[None]:
    """Turn what is wrong with the ``release.json`` of a public release into damage that people have to mend."""
    try:
        yield
    except (ConfigError, RefusedError) as error:
        if release.draft:
            raise
        raise ConflictError(
            "release-damaged",
            f"the public release has no {ASSET} that can be used",
            object=release.url,
            found=f"{error.message} ({error.found})",
            wanted=f"the approved {ASSET}, whose sha256 is in {CHECKSUMS}",
            hint=f"if it is the approved one, use the releaser that made it; else, {put_back(release, ASSET)}",
        ) from error


def _manifest(outside: Outside, release: Release, here: RepositoryFacts, policy_path: str) -> Manifest:
    """The manifest of *release*, which is about this tag and repository and names the policy at *policy_path*."""
    tag = release.tag
    asset = next((a for a in release.assets if a.name == ASSET and a.complete), None)
    if asset is None:
        raise RefusedError(
            "release-incomplete",
            "the release has no release.json yet",
            object=release.url,
            found="no release.json",
            wanted="a complete draft",
            hint=f"releaser draft {tag} --artifacts DIR",
        )
    manifest = Manifest.parse(outside.scratch.read(asset, _MANIFEST_LIMIT), ASSET)
    if (manifest.repository.name.lower(), manifest.tag.name) != (here.name.lower(), tag) or (
        manifest.repository.id not in (0, here.id)
    ):
        raise RefusedError(
            "manifest-foreign",
            "release.json belongs to another release",
            object=ASSET,
            found=f"{manifest.repository.name} ({manifest.repository.id}) {manifest.tag.name}",
            wanted=f"{here.name} ({here.id}) {tag}",
            hint=f"delete the draft {release.url} and draft again",
        )
    if manifest.policy.path != policy_path:
        raise RefusedError(
            "policy-elsewhere",
            "release.json names another file as the policy that judges it",
            object=ASSET,
            found=manifest.policy.path,
            wanted=policy_path,
            hint=f"delete the draft, releaser assemble {tag} --artifacts DIR, then draft again",
        )
    return manifest


def _damage(release: Release, manifest: Manifest) -> tuple[ConflictError, ...]:
    """What damaged a public release; a draft is complete, or this raises."""
    if not release.draft:
        return damage(release, manifest)
    missing, _ = compare(release, manifest)
    if missing:
        raise RefusedError(
            "release-incomplete",
            "the release lacks files that its manifest lists",
            object=release.url,
            found=f"{len(missing)} missing: {missing[0]}",
            wanted="every file of release.json",
            hint=f"releaser draft {release.tag} --artifacts DIR",
        )
    return ()


def ballot(outside: Outside, seen: Candidate, published: Published | None, *, begun: bool) -> Ballot:
    """The votes on a candidate, each voter's rights looked up now. Who voted is the forge's word, not the record's.

    Making the draft public approves what it held at that moment, so it says nothing about a file that came later.
    """
    votes = [*_recorded(outside, seen)]
    files = [a for a in seen.release.assets if not is_approval(a)]
    if published and published.release == seen.release.id and all(a.at <= published.at for a in files):
        voter = outside.forge.voter(published.by, seen.policy.approval.approvers)
        votes.append(
            Vote(
                by=voter,
                at=published.at,
                decision=Decision.APPROVE,
                manifest=seen.digest,
                policy=seen.policy_digest,
                tag=seen.manifest.tag.name,
                repository=seen.manifest.repository.name,
                via="published the draft",
            )
        )
    return Ballot(
        manifest=seen.digest,
        policy=seen.policy_digest,
        votes=tuple(sorted(votes, key=lambda v: (v.at, v.by.id))),
        now=outside.forge.time(),
        begun=begun,
        author=next((a.by.id for a in files if a.name == ASSET and a.human), 0),
    )


def _recorded(outside: Outside, seen: Candidate) -> Iterator[Vote]:
    for asset in seen.release.assets:
        if is_approval(asset) and asset.complete and asset.size <= _APPROVAL_LIMIT:
            vote = _vote(outside, asset, seen)
            if vote is not None:
                yield vote


def _vote(outside: Outside, asset: Asset, seen: Candidate) -> Vote | None:
    try:
        record = Approval.parse(outside.scratch.read(asset, _APPROVAL_LIMIT), asset.name)
    except ConfigError as error:
        outside.reporter.say("approval-unreadable", asset=asset.name, code=error.code)
        return None
    voter = outside.forge.voter(asset.by, seen.policy.approval.approvers)
    return Vote(
        by=voter,
        at=asset.at,
        decision=record.decision,
        manifest=record.manifest,
        policy=record.policy,
        tag=record.tag,
        repository=record.repository,
        via="recorded",
        note=record.note,
    )
