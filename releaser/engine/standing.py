"""Where a release stands: what a look at it shows, in the light of what is on record. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from releaser.engine import deliver, registries, undraft
from releaser.engine.candidate import swapped
from releaser.engine.intents import Ending, begun_with, endings
from releaser.engine.states import State, outlook
from releaser.engine.view import View
from releaser.errors import ConflictError, ReleaserError


def standing(view: View, records: Iterable[Mapping[str, Any]], again: str) -> tuple[State, Sequence[ReleaserError]]:
    """The state of a release by a look at it and what is on record of it, and what is known to stand in its way.

    *again* is the command that goes on with it. Against a manifest that was swapped nothing else is judged.
    """
    records = list(records)
    if problem := swap(view, records):
        return State.NEEDS_HUMAN, (problem,)
    known = {**endings(records), **{e.effect: e for e in ends(view)}}
    return _state(view, {key: e.result for key, e in known.items()}), (
        *view.candidate.damage,
        *_setbacks(view, known, again),
    )


def ends(view: View) -> Iterator[Ending]:
    """The end of every effect that a look shows."""
    release, manifest = view.candidate.release, view.manifest
    if not release.draft:
        yield Ending(undraft.undraft_key(manifest), "done", release.url)
    for publication in manifest.publications:
        shelf = view.world.shelves[publication.id]
        yield from registries.shown(publication, shelf, {a.name: a for a in manifest.artifacts})
    yield from deliver.arrivals(manifest, view.world.deliveries)


def state_of(view: View, ended: Mapping[str, str], problems: Sequence[ReleaserError] = ()) -> State:
    """The state of a release by a look at it, how its effects *ended* on record, and what a run ran into."""
    return _state(view, {**ended, **{e.effect: e.result for e in ends(view)}}, problems)


def _state(view: View, known: Mapping[str, str], problems: Sequence[ReleaserError] = ()) -> State:
    return outlook(view.with_delivered(deliver.delivered(view.manifest, known)).state, known, problems)


def swap(view: View, records: Iterable[Mapping[str, Any]]) -> ConflictError | None:
    """What is wrong where a public release holds another manifest than the one whose effects have begun.

    While it is a draft, nothing is out but what a later look finds, and another manifest needs its own approvals.
    """
    if view.candidate.release.draft:
        return None
    found, begun = view.manifest.digest(), begun_with(records)
    if begun in ("", found):
        return None
    return swapped(view.manifest.tag.name, found, begun)


def _setbacks(view: View, known: Mapping[str, Ending], again: str) -> Iterator[ReleaserError]:
    """What was refused, or lost, and is still on record as the last word."""
    release, manifest = view.candidate.release, view.manifest
    yield from undraft.setbacks(release, known.get(undraft.undraft_key(manifest)), again)
    for publication in manifest.publications:
        yield from registries.setbacks(publication, view.world.shelves[publication.id], known, again)
    yield from deliver.setbacks(manifest, known, again)
