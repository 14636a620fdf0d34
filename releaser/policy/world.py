"""Gate ``world``: nothing out there contradicts the release, and what cannot be known is waited for."""

from __future__ import annotations

from collections.abc import Iterator

from releaser.model.facts import Presence, Shelf, Unobserved
from releaser.model.manifest import PlannedPublication
from releaser.model.plan import Action, GateRow
from releaser.policy.case import Case, Row


def world(case: Case) -> Iterator[GateRow]:
    """Let through a release whose names are free, or taken by exactly our bytes, at every registry.

    Once public on the forge, it has to hold exactly its files there too.
    """
    for damage in case.facts.world.damage:
        yield Row("world", damage.file).fail(damage.reason, found=damage.found, wanted=damage.wanted, hint=damage.hint)
    if not case.publications:
        yield Row("world", case.shown).skip("this release goes to no registry")
    for publication in case.publications:
        row = Row("world", publication.id)
        shelf = case.facts.world.shelves.get(publication.id, Unobserved("not asked for"))
        if isinstance(shelf, Unobserved):
            yield row.missing(shelf, hint=f"releaser plan {case.shown}")
        else:
            yield _shelf(row, publication, shelf, case.shown)


def _shelf(row: Row, publication: PlannedPublication, shelf: Shelf, tag: str) -> GateRow:
    action, reason = action_for(publication, shelf)
    where = f"{publication.package} {publication.version} at {publication.registry}"
    match action:
        case Action.CONFLICT:
            different = [name for name, presence in shelf.files.items() if presence is Presence.DIFFERENT]
            return row.fail(
                reason,
                found=", ".join((*different, *shelf.foreign)),
                wanted=f"only our bytes under {where}",
                hint="other bytes are public under this version: choose a new version",
            )
        case Action.WAIT:
            return row.wait(
                reason, found=where, wanted="a digest to compare", hint=f"releaser plan {tag} --artifacts DIR"
            )
        case Action.PUBLISH | Action.SKIP:
            return row.passed(reason)


def action_for(publication: PlannedPublication, shelf: Shelf) -> tuple[Action, str]:
    """What is to be done about one publication, and why. Only absent files permit a write."""
    where = f"{publication.package} {publication.version}"
    states = set(shelf.files.values())
    if Presence.DIFFERENT in states:
        return Action.CONFLICT, f"{publication.registry} has other bytes for {where}"
    if shelf.foreign:
        return Action.CONFLICT, f"{publication.registry} has files for {where} that are not in this release"
    if Presence.UNKNOWN in states:
        return Action.WAIT, f"{publication.registry} shows {where} without a digest we can compare"
    if not shelf.files:
        if shelf.listed:
            return Action.WAIT, f"{publication.registry} already has {where}; give --artifacts to compare"
        return Action.PUBLISH, f"{where} is free" if shelf.package else f"{publication.package} is a new package"
    if states == {Presence.SAME}:
        return Action.SKIP, f"{where} is there with the same digest"
    absent = sum(p is Presence.ABSENT for p in shelf.files.values())
    if absent < len(shelf.files):
        return Action.PUBLISH, f"{absent} of {len(shelf.files)} files are still missing"
    return Action.PUBLISH, f"{where} is free" if shelf.package else f"{publication.package} is a new package"
