"""The draft release: found or created, completed file by file, never overwritten.

``release.json`` goes up last, so a draft that has it is complete. What is there is compared by the forge's own
digest; a name that holds other bytes stops everything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from releaser.engine.ports import Asset, Outside, Release
from releaser.engine.rights import policy_text, require_rights
from releaser.errors import ConflictError, ExternalError, RefusedError
from releaser.model.manifest import APPROVAL_PREFIX, ASSET, CHECKSUMS, Manifest
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


def wanted_assets(manifest: Manifest) -> dict[str, str]:
    """Every file the release must hold, by name, with ``sha256:hex``."""
    import hashlib

    sums = manifest.checksums()
    return {a.name: f"sha256:{a.sha256}" for a in manifest.artifacts} | {
        CHECKSUMS: "sha256:" + hashlib.sha256(sums).hexdigest(),
        ASSET: manifest.digest(),
    }


def compare(release: Release, manifest: Manifest) -> tuple[list[str], list[Asset]]:
    """The names still missing on *release* and the unfinished uploads in their place.

    Raises ConflictError ``asset-conflict`` for other bytes under one of our names, ``asset-extra`` for a file
    that the manifest does not list, and ExternalError ``asset-digest-missing`` where the forge shows no digest.
    """
    wanted = wanted_assets(manifest)
    there: set[str] = set()
    ghosts: list[Asset] = []
    for asset in release.assets:
        if is_approval(asset):
            continue
        if asset.name not in wanted:
            raise ConflictError(
                "asset-extra",
                "the release holds a file that is not part of it",
                object=asset.name,
                found=asset.name,
                wanted="only what release.json lists",
                hint=f"look at {release.url} and delete the file if it should not be there",
            )
        if not asset.complete:
            ghosts.append(asset)
        elif not asset.digest:
            raise ExternalError(
                "asset-digest-missing", "the forge shows no digest for a file", object=asset.name, retryable=True
            )
        elif asset.digest != wanted[asset.name]:
            raise ConflictError(
                "asset-conflict",
                "the release holds other bytes under this name",
                object=asset.name,
                found=asset.digest,
                wanted=wanted[asset.name],
                hint=f"if the build was meant to change, delete the draft {release.url} and draft again",
            )
        else:
            there.add(asset.name)
    return [name for name in wanted if name not in there], ghosts


def draft(outside: Outside, manifest: Manifest, files: Mapping[str, Path], notes: str) -> Release:
    """Make the forge hold a complete draft of *manifest*; safe to repeat, and finishes what was interrupted.

    *files* maps every wanted name to a local file. A release that is already public is left as it is when it is
    complete and refused when it is not. A manifest that says it needs no draft is refused before anything is written
    unless the policy on the default branch says so too; making it public is `publish`'s business all the same.
    """
    forge, tag = outside.forge, manifest.tag
    if not manifest.draft:
        _require_no_approval_needed(outside, manifest)
    found = release_of(forge.releases(tag.name))
    missing, ghosts = compare(found, manifest) if found else (list(wanted_assets(manifest)), [])
    if found and not found.draft and missing:
        raise RefusedError(
            "release-public",
            "the release is already public and lacks files",
            object=found.url,
            found=f"{len(missing)} missing: {missing[0]}",
            wanted="a draft, or a complete release",
            hint="a public release is not changed: choose a new version",
        )
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
    if complete is None or complete.id != release.id or compare(complete, manifest)[0]:
        raise ExternalError(
            "draft-incomplete",
            "the forge does not show all uploaded files yet",
            object=release.url,
            hint=f"releaser draft {tag.name} --artifacts DIR",
        )
    return complete


def _require_no_approval_needed(outside: Outside, manifest: Manifest) -> None:
    """Raise RefusedError ``manifest-widened`` unless the policy in force lets such a release be public unapproved."""
    text = policy_text(outside.forge, outside.forge.repository().default_branch, DEFAULT_PATH)
    policy = Policy.parse(text.decode("utf-8", "replace"), DEFAULT_PATH, registries=outside.registries)
    require_rights(manifest, policy, {name: r.terms for name, r in outside.registries.items()})
