"""Making a draft public: once, on record, and only while what allowed it still holds."""

from __future__ import annotations

from collections.abc import Callable

from releaser.engine.draft import release_of
from releaser.engine.intents import Ending, Intents
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
) -> Release:
    """The public release of *manifest*, made public now unless somebody already did.

    *guard* reads the release again and raises where it may not be public (any more). Raises what it raises, and
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
        problem = ExternalError(
            "release-not-public",
            "the forge does not show the release as public yet",
            object=release.url,
            hint=f"releaser publish {tag}",
        )
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
    return f"release/{manifest.tag.name}"
