"""Making a draft public: once, on record, and only while what allowed it still holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from releaser.engine.draft import release_of
from releaser.engine.intents import UNDRAFT, Ending, Intents
from releaser.engine.ports import Outside, Receipt, Release, Sent
from releaser.engine.run import Patience, until
from releaser.errors import ExternalError, ReleaserError
from releaser.model.manifest import Manifest


def undraft(
    outside: Outside,
    intents: Intents,
    patience: Patience,
    manifest: Manifest,
    guard: Callable[[], Release],
    *,
    latest: bool,
    again: str,
) -> Release:
    """The public release of *manifest*, made public now unless somebody already did.

    *guard* reads the release again and raises where it may not be public (any more); *again* is the command that goes
    on. Raises what it raises, and
    ExternalError, ``release-not-public`` or the forge's own, when the forge does not show the release as public.
    """
    key, tag = undraft_key(manifest), manifest.tag.name

    def public() -> Release | None:
        release = release_of(outside.forge.releases(tag))
        return release if release and not release.draft else None

    seen = public()
    if seen is None and (earlier := intents.latest(key)):  # of a run whose request may still be under way
        wait = patience.after(earlier) or patience.settle
        until(outside.clock, patience.poll, wait, lambda: public() or intents.may_send(key) or None)
        seen = public()
    if seen is None:
        intents.begin({key: manifest.digest()})
        try:
            release = guard()
        except ReleaserError:
            intents.close([Ending(key, "unsent")])
            raise
        problem = _not_public(release.url, again)
        receipt = Receipt(Sent.ACCEPTED)
        try:
            outside.forge.publish(release, latest=latest)
        except ExternalError as error:
            problem = error
            receipt = Receipt(Sent.UNKNOWN if error.retryable else Sent.REFUSED, error.message)
        intents.answered({key: receipt})
        seen = until(outside.clock, patience.poll, patience.after(receipt) or patience.refused, public)
        if seen is None:
            if receipt.sent is Sent.REFUSED:
                intents.close([Ending(key, "refused", receipt.detail)])
            raise problem
        outside.reporter.say("release-public", url=seen.url)
    intents.close([Ending(key, "done", seen.url)])
    return seen


def undraft_key(manifest: Manifest) -> str:
    """The key of making a release public."""
    return f"{UNDRAFT}{manifest.tag.name}"


def setbacks(release: Release, end: Ending | None, again: str) -> Iterator[ExternalError]:
    """What stands in the way of making a *release* public by how that is known to have ended."""
    if end and end.result == "refused":
        yield _not_public(release.url, again, end.evidence)


def _not_public(url: str, again: str, found: str = "") -> ExternalError:
    return ExternalError(
        "release-not-public", "the forge does not show the release as public", object=url, found=found, hint=again
    )
