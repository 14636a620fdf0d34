"""Judging a tag from a checkout on this machine: what `plan` and `assemble` have in common."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

from releaser.engine import survey
from releaser.engine.assemble import compose
from releaser.engine.planner import case_for, plan
from releaser.errors import ConfigError
from releaser.model.document import Sha256
from releaser.model.facts import Facts, Source, Tag, Unobserved, World
from releaser.model.manifest import Manifest, PolicyRef, RepositoryRef
from releaser.model.policy import DEFAULT_PATH, Policy, policy_digest
from releaser.policy.tag import GRAMMAR

if TYPE_CHECKING:
    from releaser.faces.wire import Wiring
    from releaser.inspect.repository import Repository
    from releaser.model.artifact import Inspected
    from releaser.model.plan import Plan
    from releaser.policy.case import Case

_OFFLINE = Unobserved("not asked: --offline")


@dataclass(frozen=True, slots=True)
class Judged:
    """A case with its plan."""

    case: Case
    plan: Plan


class Judge:
    """One tag of one checkout, judged by one policy. A context manager."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._tag: str = options.tag

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.wiring.close()

    @cached_property
    def checkout(self) -> Repository:
        from releaser.inspect.repository import Repository

        return Repository(Path(self._options.repo))

    @cached_property
    def wiring(self) -> Wiring:
        from releaser.faces.log import reporter
        from releaser.faces.wire import Wiring

        return Wiring(reporter(self._options.log_format), self.repository)

    @cached_property
    def repository(self) -> str:
        """``OWNER/NAME`` on the forge, or the folder's name where that is not known."""
        return (
            self._options.repository or os.environ.get("GITHUB_REPOSITORY") or self.checkout.remote_repository() or ""
        )

    @cached_property
    def policy_ref(self) -> PolicyRef:
        text, commit = self._policy_text
        path = self._options.policy or DEFAULT_PATH
        return PolicyRef(path=DEFAULT_PATH if commit else path, commit=commit, digest=policy_digest(text))

    @cached_property
    def policy(self) -> Policy:
        text, _ = self._policy_text
        try:
            decoded = text.decode()
        except UnicodeDecodeError as error:
            raise ConfigError(
                "policy-syntax",
                "the policy file is not UTF-8",
                object=self._options.policy or DEFAULT_PATH,
                found=str(error),
                wanted="UTF-8 text",
            ) from error
        return self.wiring.read_policy(decoded, self._options.policy or DEFAULT_PATH)

    @cached_property
    def _policy_text(self) -> tuple[bytes, str]:
        """The policy's bytes and, where it came from the protected branch, the commit it was read at (T6)."""
        if self._options.policy:
            try:
                return Path(self._options.policy).read_bytes(), ""
            except OSError as error:
                raise ConfigError(
                    "policy-missing",
                    "the policy file cannot be read",
                    object=self._options.policy,
                    found=error.strerror or str(error),
                    wanted="a policy file",
                    hint="releaser schema policy describes it",
                ) from error
        branch = self.checkout.default_branch()
        commit = self.checkout.commit_of(branch)
        text = self.checkout.file(DEFAULT_PATH, commit)
        if text is None:
            raise ConfigError(
                "policy-missing",
                f"the branch {branch} has no policy file",
                object=f"{branch}:{DEFAULT_PATH}",
                found="no such file",
                wanted="the policy, on the protected default branch and not on the tag",
                hint=f"commit {DEFAULT_PATH} to {branch}, or try one with --policy FILE",
            )
        return text, commit

    def source(self) -> Source | None:
        """The repository at the tag, or at ``--at`` for a tag that is still to be made."""
        if not GRAMMAR.fullmatch(self._tag):
            return None
        entry = [self.policy.version.source] if self.policy.version.source else []
        paths = [*entry, *self.policy.version.lockstep]
        found = self.checkout.tag(self._tag)
        if found is None and self._options.at:
            found = Tag(self._tag, "", self.checkout.revision(self._options.at), annotated=False)
        return self.checkout.source(found, paths, self.policy.version_of) if found else None

    def inspected(self, folder: str | None) -> tuple[Inspected, ...] | Unobserved:
        """The artifacts of *folder*, hashed and looked into side by side."""
        if folder is None:
            return Unobserved("not asked: no --artifacts")
        from releaser.inspect.files import inspect_folder, total_size

        with self.wiring.reporter.transfer(f"inspecting {folder}", total_size(Path(folder))) as progress:
            return inspect_folder(Path(folder), progress)

    def judge(self, folder: str | None, *, online: bool) -> Judged:
        """Settle every gate: artifacts when there is a folder, the outside when *online*."""
        source = self.source()
        remote = self._remote_tag(source) if online else _OFFLINE
        source = _annotated(source, remote)
        facts = Facts(source=source, artifacts=self.inspected(folder))
        case = case_for(self.policy, self._tag, facts, self.wiring.known)
        manifest = self._manifest(case)
        objections = survey.objections(self.wiring.registries, case.publications, case.artifacts)
        if manifest is not None:
            objections += survey.delivery_objections(self.wiring.dispatchers, manifest)
        world = self._world(case, source, manifest, remote) if online else _offline(case)
        case = replace(case, facts=replace(facts, objections=objections, world=world))
        return Judged(case, plan(case, self.repository or "(no remote)", self.policy_ref.digest))

    def _manifest(self, case: Case) -> Manifest | None:
        """What would be assembled, where enough is known to say it; only looked at, never written."""
        source, artifacts, channel = case.facts.source, case.facts.artifacts, case.channel
        if case.version is None or source is None or isinstance(artifacts, Unobserved) or channel is None:
            return None
        if channel not in self.policy.channels:
            return None
        here = RepositoryRef(name=self.repository or "unknown/unknown")
        return compose(case, case.version, source, here, self.policy_ref, None)

    def _remote_tag(self, source: Source | None) -> Tag | Unobserved | None:
        """The tag at the forge; not asked for where there is none to compare it with."""
        return survey.tag_at(self.wiring.forge, self._tag) if source and source.tag.object else _OFFLINE

    def _world(
        self, case: Case, source: Source | None, manifest: Manifest | None, remote: Tag | Unobserved | None
    ) -> World:
        if source is None:
            return World()
        artifacts = {a.artifact.name: a.artifact for a in case.artifacts}
        wiring = self.wiring
        return World(
            tag=remote,
            freeze=survey.freeze_of(wiring.forge, self._tag),
            checks=survey.checks_on(wiring.forge, source.tag.commit, self.policy.checks.required),
            shelves=survey.shelves(wiring.registries, wiring.workers, case.publications, artifacts),
            deliveries=survey.deliveries(wiring.dispatchers, wiring.workers, manifest.downstream, manifest)
            if manifest
            else {},
        )


def _annotated(source: Source | None, remote: Tag | Unobserved | None) -> Source | None:
    """*source* with the forge's annotated tag, where the checkout has only the commit that the tag stands for.

    actions/checkout fetches the commit of a pushed tag under the tag's name (actions/checkout#290).
    """
    if source is None or not isinstance(remote, Tag) or source.tag.annotated or remote.commit != source.tag.commit:
        return source
    return replace(source, tag=remote)


def _offline(case: Case) -> World:
    return World(_OFFLINE, _OFFLINE, _OFFLINE, {p.id: _OFFLINE for p in case.publications})


def digest_option(text: str) -> Sha256:
    """A digest given on the command line; raises ConfigError ``digest-invalid``."""
    import re

    if not re.fullmatch(r"sha256:[0-9a-f]{64}", text):
        raise ConfigError(
            "digest-invalid",
            "this is not the digest of a release",
            object="--digest",
            found=text,
            wanted="sha256: and 64 hexadecimal digits",
            hint="releaser status TAG shows the digest",
        )
    return Sha256(text)
