"""A job of the forge's CI: what its event says, and how results reach its summary, outputs and annotations."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path

from releaser.engine.candidate import Published
from releaser.errors import ConfigError, RefusedError, ReleaserError
from releaser.faces.event import read, unreadable
from releaser.model.manifest import Person

EVENTS = frozenset({"push", "create", "release", "workflow_dispatch", "repository_dispatch", "schedule"})
"""Events under which a job may write. A fork can cause none of these (T8)."""

LONG_LIVED = (
    "TWINE_PASSWORD",
    "UV_PUBLISH_TOKEN",
    "UV_PUBLISH_PASSWORD",
    "HATCH_INDEX_AUTH",
    "FLIT_PASSWORD",
    "MATURIN_PYPI_TOKEN",
    "POETRY_PYPI_TOKEN_PYPI",
    "CARGO_REGISTRY_TOKEN",
    "NPM_TOKEN",
    "NODE_AUTH_TOKEN",
)
"""Publishing secrets that have no place beside an OIDC identity (T37)."""

_PLACEHOLDER = "XXXXX-XXXXX-XXXXX-XXXXX"
"""What older releases of actions/setup-node put into ``NODE_AUTH_TOKEN`` (its src/authutil.ts): no secret."""


def is_job(environ: Mapping[str, str]) -> bool:
    return environ.get("GITHUB_ACTIONS") == "true"


def require_safe_job(environ: Mapping[str, str]) -> None:
    """Raise RefusedError ``event-refused`` or ``secret-present`` for a job that must not write."""
    event = environ.get("GITHUB_EVENT_NAME", "")
    if is_job(environ) and event not in EVENTS:
        raise RefusedError(
            "event-refused",
            "a job started by this event may not write",
            object="GITHUB_EVENT_NAME",
            found=event or "nothing",
            wanted=" or ".join(sorted(EVENTS)),
            hint="start the workflow by one of these events",
        )
    present = [name for name in LONG_LIVED if environ.get(name, "") not in ("", _PLACEHOLDER)]
    if present:
        raise RefusedError(
            "secret-present",
            "a long-lived publishing secret is in reach of this job",
            object=present[0],
            found=", ".join(present),
            wanted="OIDC only",
            hint=f"remove {present[0]} from the job and revoke it",
        )


def published(environ: Mapping[str, str]) -> Published | None:
    """Who made the draft public, when this job was started by that; raises ConfigError for a broken event file."""
    if environ.get("GITHUB_EVENT_NAME") != "release":
        return None
    try:
        payload = Path(environ["GITHUB_EVENT_PATH"]).read_bytes()
    except (KeyError, OSError) as error:
        raise unreadable(str(error)) from error
    event = read("release", payload)
    if event.action != "published":
        return None
    if event.sender is None or event.release is None or event.published_at is None:
        raise unreadable("no sender, no release, or no time of publication")
    return Published(by=event.sender, at=event.published_at, release=event.release)


def initiator(environ: Mapping[str, str]) -> Person | None:
    """Who pushed the tag or started this run, by the number that a rename does not change."""
    number, login = environ.get("GITHUB_ACTOR_ID", ""), environ.get("GITHUB_ACTOR", "")
    return Person(id=int(number), login=login) if number.isdecimal() and login else None


def outputs(environ: Mapping[str, str], values: Mapping[str, str]) -> None:
    """Set step outputs; each behind a random delimiter, so that a value cannot set another one."""
    text = ""
    for name, value in values.items():
        mark = secrets.token_hex(16)
        text += f"{name}<<{mark}\n{value}\n{mark}\n"
    _append(environ, "GITHUB_OUTPUT", text)


def summary(environ: Mapping[str, str], markdown: str) -> None:
    """Append to the job's summary page."""
    _append(environ, "GITHUB_STEP_SUMMARY", markdown + "\n")


def _append(environ: Mapping[str, str], variable: str, text: str) -> None:
    if target := environ.get(variable):
        try:
            with Path(target).open("a", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            raise ConfigError(
                "job-file-unwritable",
                "a file that the job gave for results cannot be written",
                object=variable,
                found=f"{target}: {error.strerror or error}",
                wanted="the file that the runner made",
                hint=f"leave {variable} as the runner set it, or unset it",
            ) from error


def annotation(error: ReleaserError) -> str:
    """The workflow command that marks the job's page with *error*; data in it cannot issue commands (T20)."""
    text = "\n".join(filter(None, (error.message, error.object, error.found, error.wanted, error.hint)))
    return f"::error title={_property(error.code)}::{_data(text)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
