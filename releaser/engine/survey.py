"""Looking at the world: ports in, facts out. Nothing is decided here, and nothing that fails is taken for absent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from releaser.engine.ports import Dispatcher, Forge, Registry, Workers
from releaser.errors import ReleaserError
from releaser.model.artifact import Artifact, Inspected
from releaser.model.facts import CheckState, Delivery, Freeze, Listing, Objection, Presence, Shelf, Tag, Unobserved
from releaser.model.manifest import Manifest, PlannedDelivery, PlannedPublication


def tag_at(forge: Forge, name: str) -> Tag | Unobserved | None:
    """The tag as the forge has it now."""
    try:
        return forge.tag(name)
    except ReleaserError as error:
        return _failed(error)


def checks_on(forge: Forge, commit: str, required: Sequence[str]) -> Mapping[str, CheckState] | Unobserved:
    """The checks of a commit; not asked for when none is required."""
    if not required:
        return Unobserved("the policy requires none")
    try:
        return forge.checks(commit)
    except ReleaserError as error:
        return _failed(error)


def branches_with(forge: Forge, commit: str, patterns: Sequence[str]) -> tuple[str, ...] | Unobserved:
    """A branch of *patterns* that contains *commit* now; not asked for where any commit will do."""
    if "*" in patterns:
        return Unobserved("any commit will do")
    try:
        return forge.branches_with(commit, patterns)
    except ReleaserError as error:
        return _failed(error)


def freeze_of(forge: Forge, tag: str) -> Freeze | Unobserved | None:
    """What holds the release of *tag* back now."""
    try:
        return forge.freeze_of(tag)
    except ReleaserError as error:
        return _failed(error)


def shelves(
    registries: Mapping[str, Registry],
    workers: Workers,
    publications: Iterable[PlannedPublication],
    artifacts: Mapping[str, Artifact],
    *,
    visible: bool = False,
) -> dict[str, Shelf | Unobserved]:
    """What every publication's registry shows, read side by side; *visible* reads the consumer's index instead."""

    def look(publication: PlannedPublication) -> tuple[str, Shelf | Unobserved]:
        registry = registries[publication.registry]
        read = registry.visible if visible else registry.observe
        ours = [artifacts[n] for n in publication.files if n in artifacts]
        try:
            return publication.id, shelf(registry, publication, ours, read(publication.package, publication.version))
        except ReleaserError as error:
            return publication.id, _failed(error)

    return dict(workers.map(look, publications))


def shelf(registry: Registry, publication: PlannedPublication, ours: Sequence[Artifact], listing: Listing) -> Shelf:
    """A listing compared with our artifacts by digest. Pure."""
    names = {a.name: registry.file_name(publication.package, publication.version, a) for a in ours}
    there = {a.name: presence(a, listing.files.get(names[a.name])) for a in ours}
    return Shelf(
        package=listing.package,
        listed=len(listing.files),
        files=there,
        foreign=tuple(sorted(set(listing.files) - set(names.values()))) if ours else (),
    )


def presence(artifact: Artifact, shown: str | None) -> Presence:
    """One artifact against the digest a registry shows for its name. Pure."""
    if shown is None:
        return Presence.ABSENT
    same = artifact.matches(shown)
    if same is None:
        return Presence.UNKNOWN
    return Presence.SAME if same else Presence.DIFFERENT


def deliveries(
    dispatchers: Mapping[str, Dispatcher], workers: Workers, entries: Iterable[PlannedDelivery], manifest: Manifest
) -> dict[str, Delivery | Unobserved]:
    """What every tap and bucket holds for this release's items."""

    def look(entry: PlannedDelivery) -> tuple[str, Delivery | Unobserved]:
        try:
            return entry.id, dispatchers[entry.kind].observe(entry, manifest)
        except ReleaserError as error:
            return entry.id, _failed(error)

    return dict(workers.map(look, entries))


def objections(
    registries: Mapping[str, Registry], publications: Iterable[PlannedPublication], files: Iterable[Inspected]
) -> tuple[Objection, ...]:
    """The rules of each target registry that the files meant for it break, each alone or together. Pure."""
    by_name = {f.artifact.name: f for f in files}
    found: list[Objection] = []
    for publication in publications:
        registry = registries[publication.registry]
        listed: dict[str, str] = {}
        for file in (by_name[n] for n in publication.files if n in by_name):
            found += registry.objections(publication.id, publication.package, file)
            name = file.artifact.name
            there = registry.file_name(publication.package, publication.version, file.artifact)
            if (other := listed.setdefault(there, name)) != name:
                found.append(_twice(publication, name, other, there))
    return tuple(found)


def _twice(publication: PlannedPublication, name: str, other: str, there: str) -> Objection:
    return Objection(
        publication.id,
        name,
        f"{there}, as which {publication.registry} lists {other} too",
        "one file under each name",
        "leave one of them out of `files`",
    )


def delivery_objections(dispatchers: Mapping[str, Dispatcher], manifest: Manifest) -> tuple[Objection, ...]:
    """Why a release could not be rendered for its package managers. Pure."""
    return tuple(
        Objection(
            entry.id, entry.kind, found, "a release that it can be rendered from", "mend [downstream] in the policy"
        )
        for entry in manifest.downstream
        for found in dispatchers[entry.kind].objections(entry, manifest)
    )


def _failed(error: ReleaserError) -> Unobserved:
    return Unobserved(f"{error.message} ({error.found})" if error.found else error.message, failed=True)
