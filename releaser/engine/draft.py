"""The draft release: found or created, completed file by file, never overwritten.

``release.json`` goes up last, so a draft that has it is complete. What is there is compared by the forge's own
digest; a name that holds other bytes stops everything.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from releaser.engine.ports import Asset, Outside, Release
from releaser.engine.rights import policy_text, require_rights
from releaser.errors import ConflictError, ExternalError, RefusedError
from releaser.model.manifest import APPROVAL_PREFIX, ASSET, Manifest
from releaser.model.policy import DEFAULT_PATH, Policy


def release_of(releases: Sequence[Release]) -> Release | None:
    """The release that counts for a tag: the published one, else the oldest draft.

    GitHub lets several drafts share a tag, so everyone must pick the same one (docs/rest/releases).
    """
    published = [r for r in releases if not r.draft]
    return min(published or releases, key=lambda r: r.id, default=None)


def is_approval(asset: Asset) -> bool:
    """Whether an asset is an approval record, which people add to a complete release."""
    return asset.name.startswith(APPROVAL_PREFIX) and asset.name.endswith(".json")


def compare(release: Release, manifest: Manifest) -> tuple[list[str], list[Asset]]:
    """The names still missing on a draft and the unfinished uploads in their place.

    Raises ConflictError ``asset-conflict`` for other bytes under one of our names, ``asset-extra`` for a file
    that the manifest does not list, and ExternalError ``asset-digest-missing`` where the forge shows no digest.
    """
    missing: list[str] = []
    for name, found, wanted in _differences(release, manifest):
        if not wanted:
            raise ConflictError(
                "asset-extra",
                "the release holds a file that is not part of it",
                object=name,
                found=name,
                wanted="only what release.json lists",
                hint=f"look at {release.url} and delete the file if it should not be there",
            )
        if found:
            raise ConflictError(
                "asset-conflict",
                "the release holds other bytes under this name",
                object=name,
                found=found,
                wanted=wanted,
                hint=f"if the build was meant to change, delete the draft {release.url} and draft again",
            )
        missing.append(name)
    return missing, [a for a in release.assets if not a.complete and not is_approval(a)]


def damage(release: Release, manifest: Manifest) -> tuple[ConflictError, ...]:
    """Everything in which a public release is not as *manifest* lists it, each with the way to mend it.

    The codes are ``asset-conflict``, ``asset-extra`` and ``asset-lost``. Raises ExternalError
    ``asset-digest-missing`` where the forge shows no digest.
    """
    return tuple(_damaged(release, *difference) for difference in _differences(release, manifest))


def put_back(release: Release, name: str) -> str:
    """What to type to give a public release its approved *name* back."""
    clobber = " --clobber" if any(a.name == name for a in release.assets) else ""
    tag = shlex.quote(release.tag)
    return f"with the approved file: gh release upload {tag} {shlex.quote(name)}{clobber}; then releaser publish {tag}"


def _damaged(release: Release, name: str, found: str, wanted: str) -> ConflictError:
    tag = shlex.quote(release.tag)
    if not wanted:
        drop = f"gh release delete-asset {tag} {shlex.quote(name)}; then releaser publish {tag}"
        return ConflictError(
            "asset-extra",
            f"the public release holds {name}, which is not part of it",
            object=name,
            found=name,
            wanted="only what release.json lists",
            hint=f"find out who added it; if it should not be there: {drop}",
        )
    message, mend = f"the public release does not hold {name} of {wanted}", put_back(release, name)
    if not found:
        return ConflictError("asset-lost", message, object=name, found="no such file", wanted=wanted, hint=mend)
    return ConflictError("asset-conflict", message, object=name, found=found, wanted=wanted, hint=mend)


def _differences(release: Release, manifest: Manifest) -> Iterator[tuple[str, str, str]]:
    """Where *release* is not as *manifest* lists it: name, digest there (or none), digest wanted (or none)."""
    wanted = manifest.assets()
    there: set[str] = set()
    for asset in release.assets:
        if is_approval(asset):
            continue
        if asset.name not in wanted:
            yield asset.name, asset.digest, ""
        elif asset.complete:
            if not asset.digest:
                raise ExternalError(
                    "asset-digest-missing", "the forge shows no digest for a file", object=asset.name, retryable=True
                )
            there.add(asset.name)
            if asset.digest != wanted[asset.name]:
                yield asset.name, asset.digest, wanted[asset.name]
    yield from ((name, "", digest) for name, digest in wanted.items() if name not in there)


def draft(outside: Outside, manifest: Manifest, files: Mapping[str, Path], notes: str) -> Release:
    """Make the forge hold a complete draft of *manifest*; safe to repeat, and finishes what was interrupted.

    *files* maps every wanted name to a local file. A release that is already public is left as it is when it holds
    exactly these files and refused when it does not. A manifest that says it needs no draft is refused before anything
    is written unless the policy on the default branch says so too; making it public is `publish`'s business all the
    same.
    """
    forge, tag = outside.forge, manifest.tag
    if not manifest.draft:
        _require_no_approval_needed(outside, manifest)
    found = release_of(forge.releases(tag.name))
    missing, ghosts = _lacking(found, manifest) if found else (list(manifest.assets()), [])
    release = found or forge.create_draft(
        tag.name, tag.commit, tag.name, notes, prerelease=manifest.channel != "stable"
    )
    outside.reporter.say("draft-found" if found else "draft-created", url=release.url, missing=len(missing))
    for ghost in ghosts:
        forge.remove(ghost)

    def send(name: str) -> None:
        file = files[name]
        with outside.reporter.transfer(name, file.stat().st_size) as progress:
            forge.upload(release, name, file, progress)

    outside.workers.map(send, [n for n in missing if n != ASSET])
    if ASSET in missing:
        send(ASSET)
    complete = release_of(forge.releases(tag.name))
    if complete is None or complete.id != release.id or _lacking(complete, manifest)[0]:
        raise ExternalError(
            "draft-incomplete",
            "the forge does not show all uploaded files yet",
            object=release.url,
            hint=f"releaser draft {tag.name} --artifacts DIR",
        )
    return complete


def _lacking(release: Release, manifest: Manifest) -> tuple[list[str], list[Asset]]:
    """What `compare` says of a draft, and nothing of a public release, which is refused unless it is whole."""
    if release.draft:
        return compare(release, manifest)
    if damaged := damage(release, manifest):
        tag = manifest.tag.name
        raise RefusedError(
            "release-public",
            "the release is already public, and does not hold exactly these files",
            object=release.url,
            found=f"{len(damaged)} differ: {damaged[0].object}, {damaged[0].found}",
            wanted="a draft, or these files",
            hint=f"releaser status {tag} says what it lost and how to mend that; for other bytes choose a new version",
        )
    return [], []


def _require_no_approval_needed(outside: Outside, manifest: Manifest) -> None:
    """Raise RefusedError ``manifest-widened`` unless the policy in force lets such a release be public unapproved."""
    text = policy_text(outside.forge, outside.forge.repository().default_branch, DEFAULT_PATH)
    policy = Policy.parse(text.decode("utf-8", "replace"), DEFAULT_PATH, registries=outside.registries)
    require_rights(manifest, policy, {name: r.terms for name, r in outside.registries.items()})
