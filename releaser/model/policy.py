"""The policy file: what people write, read strictly, with every default stated here.

The file is TOML. `Policy.parse` takes text, not a path; its errors name file, line, key, what was found, what
is wanted and the nearest right spelling.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from datetime import timedelta
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, ValidationInfo, model_validator

from releaser.errors import ConfigError
from releaser.model.document import Sha256, sha256
from releaser.model.version import Phase, Version

DEFAULT_PATH = ".github/releaser.toml"
ChannelName = Literal["stable", "prerelease", "dev"]
Via = Literal["pull-request", "commit", "push"]


class PolicyProblem(ValueError):
    """A rule of the policy file that the schema cannot say; carries the key path it is about."""

    def __init__(self, key: tuple[str, ...], found: str, wanted: str, hint: str = "") -> None:
        super().__init__(f"{'.'.join(key)}: {found}")
        self.key = key
        self.found = found
        self.wanted = wanted
        self.hint = hint


class Section(BaseModel):
    """One table of the file: frozen, unknown keys are errors, keys are in kebab-case.

    The string below a key is its documentation; `releaser schema policy` and the reference page read it there.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=lambda name: name.replace("_", "-"), defer_build=True
    )


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


Strings = Annotated[tuple[str, ...], BeforeValidator(_listed, json_schema_input_type=str | tuple[str, ...])]


class Versions(Section):
    """Where the version is written down, and what must agree with it."""

    source: str | None = None
    """The file that is the single source of truth: a `Cargo.toml`, `pyproject.toml`, `package.json` or plain-text
    version file. Without it the tag alone states the version.
    """
    lockstep: Strings = ()
    """Files whose versions (and lockfile self-entries) must equal the source's. A path must exist; a pattern such as
    `VERSION*` may match nothing.
    """


class Channel(Section):
    """The rules for one kind of version."""

    branches: Strings
    """Branch patterns, at least one of which must contain the tagged commit. `*` alone means any commit."""
    draft: bool = Field(default=True, strict=True)
    """Whether the release waits as a draft for approval. `false` publishes on the forge at once and is only allowed
    with `publish = []`.
    """
    publish: Strings | None = None
    """The publications of this channel; all of them by default, none with `[]`."""


class Checks(Section):
    """Status checks of the tagged commit."""

    required: Strings = ()
    """Names of checks or commit statuses that must be there; `skipped` and `neutral` count as passing, missing does
    not.
    """


class ApprovalRule(Section):
    """Who must have agreed to exactly these bytes."""

    quorum: int = Field(default=1, ge=1, strict=True)
    """How many different people."""
    approvers: Strings = ("role:admin",)
    """Who may approve: `user:LOGIN`, `team:ORG/SLUG`, or `role:admin|maintain|write` on the repository."""
    exclude: Strings = ("tagger", "initiator")
    """Whose approval does not count for this release: `tagger` (who made the tag object), `initiator` (who pushed the
    tag or started the assembling run).
    """
    expires: str = Field(default="72h", pattern=r"^[1-9][0-9]{0,4}[mhd]$")
    """How long an approval holds: a number with `m`, `h` or `d`."""

    @property
    def lifetime(self) -> timedelta:
        return _SPANS[self.expires[-1]] * int(self.expires[:-1])


class ArtifactGroup(Section):
    """A set of files that the build must deliver, complete and with nothing else."""

    files: Strings
    """File-name patterns. Every file in the artifacts folder must match exactly one group."""
    expect: Strings = ()
    """Patterns of which each must be met by a file: by a wheel's platform tag, else by the file name; `{version}`,
    `{pep440}` and `{tag}` are replaced. A file that meets none is refused. Without it, one file or more is enough.
    """


class Publication(Section):
    """One package at one registry."""

    registry: str
    """The registry's name."""
    package: str | None = None
    """The package's name there; the publication's own name by default."""
    files: Strings
    """The artifact groups whose files are published."""
    needs: Strings = ()
    """Publications that must be visible at their registries before this one is sent."""
    requires: Strings = ()
    """Constraints that the artifacts' metadata must declare, such as `coglet>={pep440},<1.0`."""
    environment: str | None = None
    """The deployment environment that the trusted publisher is bound to, shown in the plan."""


def _is_feed(repository: str) -> bool:
    return "://" in repository


class Downstream(Section):
    """A package manager that is updated once the release is public."""

    model_config = ConfigDict(extra="allow")

    kind: str
    """The package manager and the form of its file."""
    repository: str = Field(
        pattern=r"^(?:[A-Za-z0-9._-]+/[A-Za-z0-9._-]+|https://[A-Za-z0-9.:-]+(?:/[A-Za-z0-9._~/-]*)?)$"
    )
    """The tap or bucket, as `OWNER/NAME`; the feed, as the `https` address that its users have for it."""
    via: Via = Field(
        default_factory=lambda data: "push" if _is_feed(data.get("repository", "")) else "pull-request",
        json_schema_extra={"default": "pull-request"},
    )
    """Deliver by pull request or by a commit on the default branch. A feed takes `push` alone, which is its default."""
    channels: tuple[ChannelName, ...] = ("stable",)
    """Only releases of these channels are delivered."""
    needs: Strings | None = None
    """Publications that must be visible first; all by default."""

    @property
    def settings(self) -> dict[str, Any]:
        """The keys that belong to the kind."""
        return dict(self.__pydantic_extra__ or {})


class KindSettings(Section):
    """The keys that belong to one kind of package manager. ``feed``: it reads a feed, not a repository of files."""

    feed: ClassVar[bool] = False


_DEFAULT_CHANNELS: dict[ChannelName, Channel] = {
    "stable": Channel(branches=("main",)),
    "prerelease": Channel(branches=("main",)),
}
_SPANS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
_APPROVER = re.compile(
    r"user:[A-Za-z0-9-]{1,39}|team:[A-Za-z0-9-]+/[A-Za-z0-9._-]+|role:(admin|maintain|write)", re.ASCII
)
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}", re.ASCII)
_TAG = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9._/-]*)?\{version\}[A-Za-z0-9._/-]*", re.ASCII)


class Policy(Section):
    """A whole policy file."""

    tag: str = "v{version}"
    """What a release tag looks like; `{version}` stands for the SemVer version."""
    version: Versions = Versions()
    channels: dict[ChannelName, Channel] = Field(default_factory=lambda: dict(_DEFAULT_CHANNELS))
    """By default stable and pre-releases both come from `main`, and dev versions are not released."""
    checks: Checks = Checks()
    approval: ApprovalRule = ApprovalRule()
    artifacts: dict[str, ArtifactGroup] = Field(default_factory=dict)
    publish: dict[str, Publication] = Field(default_factory=dict)
    downstream: dict[str, Downstream] = Field(default_factory=dict)

    @classmethod
    def parse(
        cls,
        text: str,
        source: str,
        *,
        registries: Collection[str],
        dispatchers: Mapping[str, type[KindSettings]] | None = None,
    ) -> Self:
        """Read a policy file. *registries* and *dispatchers* are the known names and their settings.

        Without *dispatchers*, what belongs to a package manager is not looked at.

        Raises ConfigError ``policy-syntax`` or ``policy-invalid``; *source* is the name shown in them.
        """
        try:
            data = tomllib.loads(text)
        except (ValueError, RecursionError) as error:  # endless numbers and nesting are no TOMLDecodeError
            line = re.search(r"at line (\d+)", str(error))
            raise ConfigError(
                "policy-syntax",
                "the policy file is not TOML",
                object=f"{source}:{line[1] if line else max(1, len(text.splitlines()))}",
                found=str(error),
                wanted="TOML 1.0",
                hint=f"edit {source}",
            ) from error
        try:
            return cls.model_validate(data, context={"registries": registries, "dispatchers": dispatchers})
        except ValidationError as error:
            raise _located(error, text, source) from error

    @model_validator(mode="after")
    def _consistent(self, info: ValidationInfo) -> Self:
        context = info.context or {}
        for problem in _problems(self, context.get("registries"), context.get("dispatchers")):
            raise problem
        return self

    def version_of(self, tag: str) -> Version | None:
        """The version that *tag* names; None when it does not have the form of a release tag.

        Raises ConfigError ``version-invalid`` when the form is right and the version is not.
        """
        before, _, after = self.tag.partition("{version}")
        if not tag.startswith(before) or not tag.endswith(after) or len(tag) < len(before) + len(after):
            return None
        return Version.parse(tag[len(before) : len(tag) - len(after)])

    def channel_for(self, version: Version) -> ChannelName:
        """``stable`` for ``1.2.3``, ``dev`` for ``-dev``, ``prerelease`` for everything else."""
        if not version.is_prerelease:
            return "stable"
        return "dev" if version.phase is Phase.DEV else "prerelease"

    def publications(self, channel: ChannelName) -> dict[str, Publication]:
        """The publications that a release of *channel* makes."""
        rule = self.channels.get(channel)
        if rule is None:
            return {}
        return {k: v for k, v in self.publish.items() if rule.publish is None or k in rule.publish}

    def deliveries(self, channel: ChannelName) -> dict[str, Downstream]:
        """The package managers that a release of *channel* updates."""
        return {k: v for k, v in self.downstream.items() if channel in v.channels and channel in self.channels}


def policy_digest(text: bytes) -> Sha256:
    """The digest that approvals are bound to: of the file's bytes, comments included."""
    return sha256(text)


def _problems(
    policy: Policy, registries: Collection[str] | None, dispatchers: Mapping[str, type[KindSettings]] | None
) -> Iterator[PolicyProblem]:
    if not _TAG.fullmatch(policy.tag):
        yield PolicyProblem(
            ("tag",),
            repr(policy.tag),
            "letters, digits, `.`, `_`, `-`, `/` and one `{version}`, beginning with a letter, digit or `{version}`",
        )
    for table in ("artifacts", "publish", "downstream"):
        for name in getattr(policy, table):
            if not _NAME.fullmatch(name):
                yield PolicyProblem((table, name), repr(name), "lower-case letters, digits and `-`, at most 63")
    for channel_name, channel in policy.channels.items():
        key: tuple[str, ...] = ("channels", channel_name)
        if not channel.branches:
            yield PolicyProblem((*key, "branches"), "no branch", "at least one branch pattern, `*` for any")
        yield from _unknown((*key, "publish"), channel.publish or (), policy.publish)
        if not channel.draft and channel.publish != ():
            yield PolicyProblem(
                (*key, "draft"),
                "draft = false with publications",
                "draft = true, or publish = []",
                "what is not approved is not published: add `publish = []`",
            )
    if not policy.approval.approvers:
        yield PolicyProblem(("approval", "approvers"), "nobody", "at least one `user:`, `team:` or `role:`")
    for who in policy.approval.approvers:
        if not _APPROVER.fullmatch(who):
            yield PolicyProblem(
                ("approval", "approvers"), repr(who), "`user:LOGIN`, `team:ORG/SLUG` or `role:admin|maintain|write`"
            )
    yield from _unknown(("approval", "exclude"), policy.approval.exclude, ("tagger", "initiator"))
    for name, publication in policy.publish.items():
        key = ("publish", name)
        if registries is not None:
            yield from _unknown((*key, "registry"), (publication.registry,), registries)
        yield from _unknown((*key, "files"), publication.files, policy.artifacts)
        yield from _unknown((*key, "needs"), publication.needs, policy.publish)
    yield from _same_package(policy)
    environments = {p.environment: name for name, p in policy.publish.items() if p.environment}
    if len(environments) > 1:
        yield PolicyProblem(
            ("publish", list(environments.values())[-1], "environment"),
            "several environments: " + ", ".join(sorted(environments)),
            "one for all publications: a release is published by one job, and a job has one environment",
        )
    yield from _cycle(policy)
    for name, downstream in policy.downstream.items():
        key = ("downstream", name)
        yield from _unknown((*key, "needs"), downstream.needs or (), policy.publish)
        for channel_name in downstream.channels:
            if (rule := policy.channels.get(channel_name)) and not rule.draft:
                yield PolicyProblem(
                    (*key, "channels"),
                    f"{channel_name} releases, which nobody approves",
                    "channels with draft = true",
                    f"what is not approved is not delivered: take {channel_name!r} out, or let it wait as a draft",
                )
        if dispatchers is not None:
            yield from _unknown((*key, "kind"), (downstream.kind,), dispatchers)
            if settings := dispatchers.get(downstream.kind):
                yield from _place(key, downstream, settings)
                yield from _settings(key, downstream, settings)


def _unknown(key: tuple[str, ...], found: Collection[str], known: Collection[str]) -> Iterator[PolicyProblem]:
    for name in found:
        if name not in known:
            wanted = "one of " + (", ".join(sorted(known)) or "nothing: none is defined")
            yield PolicyProblem(key, repr(name), wanted, _meant(name, known))


def _meant(found: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(found, list(known), 1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else ""


def _place(key: tuple[str, ...], entry: Downstream, settings: type[KindSettings]) -> Iterator[PolicyProblem]:
    """What is delivered to, and how, is what the kind reads."""
    if _is_feed(entry.repository) != settings.feed:
        wanted = "a feed's address, such as https://packages.example.com/api/v2" if settings.feed else "OWNER/NAME"
        yield PolicyProblem((*key, "repository"), repr(entry.repository), wanted)
    if (entry.via == "push") != settings.feed:
        wanted = "'push'" if settings.feed else "'pull-request' or 'commit'"
        yield PolicyProblem((*key, "via"), repr(entry.via), wanted)


def _settings(key: tuple[str, ...], entry: Downstream, settings: type[KindSettings]) -> Iterator[PolicyProblem]:
    try:
        settings.model_validate(entry.settings)
    except ValidationError as error:
        first = _first(error)
        where = (*key, *_path(first))
        names = [f.alias or n for n, f in settings.model_fields.items()]
        yield PolicyProblem(where, *_words(first, [*names, *Downstream.model_fields]))


def _same_package(policy: Policy) -> Iterator[PolicyProblem]:
    """Two publications of one package would each find the other's files foreign, after the first write."""
    owners: dict[tuple[str, str], str] = {}
    for name, publication in policy.publish.items():
        package = publication.package or name
        one = re.sub(r"[-_.]+", "-", package).lower()  # registries take such spellings for one name
        owner = owners.setdefault((publication.registry, one), name)
        if owner != name:
            yield PolicyProblem(
                ("publish", name, "package"),
                f"{package!r} at {publication.registry}, which publish.{owner} has",
                "one publication for each package",
                f"put all artifact groups into the `files` of publish.{owner}",
            )


def _cycle(policy: Policy) -> Iterator[PolicyProblem]:
    done: set[str] = set()
    while ready := {n for n, p in policy.publish.items() if n not in done and done.issuperset(p.needs)}:
        done |= ready
    if left := sorted(set(policy.publish) - done):
        yield PolicyProblem(
            ("publish", left[0], "needs"), "a circle: " + ", ".join(left), "an order in which each can be published"
        )


def _located(error: ValidationError, text: str, source: str) -> ConfigError:
    """The first problem of *error* with its place in the file."""
    first = _first(error)
    cause = (first.get("ctx") or {}).get("error")
    if isinstance(cause, PolicyProblem):
        path, words = cause.key, (cause.found, cause.wanted, cause.hint)
    else:
        path = _path(first)
        words = _words(first, _siblings(path))
    found, wanted, hint = words
    return ConfigError(
        "policy-invalid",
        f"the policy file is not usable: {'.'.join(path) or 'the file'}",
        object=f"{source}:{_line(text, path)}",
        found=found,
        wanted=wanted,
        hint=hint or f"edit {source}; `releaser schema policy` prints the schema",
    )


def _first(error: ValidationError) -> Any:
    """The problem to show: a key that is not known explains the one that is missing because of it."""
    found = error.errors()
    return next((e for e in found if e["type"] == "extra_forbidden"), found[0])


def _path(error: Any) -> tuple[str, ...]:
    return tuple(str(part) for part in error["loc"] if part != "[key]")


_WANTED = {
    "bool_type": "true or false",
    "dict_type": "a table",
    "int_type": "an integer",
    "model_type": "a table",
    "string_type": "a string",
    "tuple_type": "a string or a list of strings",
}
"""TOML's words for what the validator calls by Python's."""


def _words(error: Any, known: Collection[str]) -> tuple[str, str, str]:
    key = str(error["loc"][-1]) if error["loc"] else ""
    if error["type"] == "extra_forbidden":
        return f"unknown key {key!r}", "one of " + ", ".join(sorted(known)), _meant(key, known)
    if error["type"] == "missing":
        strangers = [k for k in error["input"] if k not in known and _meant(k, [key])]
        return "nothing", f"the key {key!r}", f"did you mean {key!r} by {strangers[0]!r}?" if strangers else ""
    choices = re.findall(r"'([^']*)'", error["ctx"]["expected"]) if error["type"] == "literal_error" else []
    wanted = _WANTED.get(error["type"], error["msg"].removeprefix("Input should be "))
    return repr(error["input"]), wanted, _meant(str(error["input"]), choices)


def _siblings(path: tuple[str, ...]) -> list[str]:
    """The keys that may stand where the last part of *path* stands."""
    model: Any = Policy
    for part in path[:-1]:
        field = next((f for n, f in model.model_fields.items() if part in (n, f.alias)), None) if model else None
        if field is None:
            continue
        inner = [t for t in (field.annotation, *getattr(field.annotation, "__args__", ())) if isinstance(t, type)]
        model = next((t for t in inner if issubclass(t, BaseModel)), model)
    return [f.alias or n for n, f in model.model_fields.items()]


def _line(text: str, path: tuple[str, ...]) -> int:
    """The line on which the deepest known part of *path* is written, 1 when nowhere."""
    best, found = 0, 1
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[+\s*([^\]]+?)\s*\]+", line):
            table = tuple(part.strip().strip("\"'") for part in header[1].split("."))
            here = table
        elif key := re.match(r"\s*([A-Za-z0-9_.\"'-]+)\s*=", line):
            here = (*table, *(part.strip("\"'") for part in key[1].split(".")))
        else:
            continue
        depth = next((i for i, (a, b) in enumerate(zip(here, path, strict=False)) if a != b), min(len(here), len(path)))
        if depth == len(here) and depth > best:
            best, found = depth, number
    return found
