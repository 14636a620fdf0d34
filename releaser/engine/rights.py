"""What a release may ask for: what the policy on the default branch makes of its tag and its files, and no more."""

from __future__ import annotations

from releaser.engine.ports import Forge
from releaser.errors import ConfigError, RefusedError
from releaser.model.manifest import ASSET, Manifest
from releaser.model.policy import Policy
from releaser.model.terms import Registries
from releaser.policy import schedule


def policy_text(forge: Forge, branch: str, path: str) -> bytes:
    """The policy file at *path* on *branch*, which is the default branch; raises ConfigError ``policy-missing``."""
    text = forge.file(path, forge.commit_of(branch))
    if text is None:
        raise ConfigError(
            "policy-missing",
            "the policy file is not on the default branch",
            object=f"{branch}:{path}",
            found="no such file",
            wanted="the policy that judges this release",
            hint=f"commit {path} to {branch}",
        )
    return text


def require_rights(manifest: Manifest, policy: Policy, registries: Registries) -> None:
    """Raise RefusedError ``manifest-widened`` unless *manifest* asks for exactly what *policy* schedules. Pure.

    A hand-made one adds no target, sends no file elsewhere, and does not do without the approval of its channel.
    """
    asked = {
        "version": manifest.version,
        "channel": manifest.channel,
        "draft": manifest.draft,
        "artifacts": manifest.artifacts,
        "publications": manifest.publications,
        "downstream": manifest.downstream,
    }
    scheduled = _scheduled(manifest, policy, registries)
    for name, value in asked.items():
        if value != scheduled.get(name):
            raise RefusedError(
                "manifest-widened",
                f"release.json does not have the {name} that its policy schedules",
                object=ASSET,
                found=_shown(value),
                wanted=_shown(scheduled.get(name, "no release of this tag")),
                hint=f"delete the draft, releaser assemble {manifest.tag.name} --artifacts DIR, then draft again",
            )


def _scheduled(manifest: Manifest, policy: Policy, registries: Registries) -> dict[str, object]:
    version = policy.version_of(manifest.tag.name)
    channel = policy.channel_for(version) if version else None
    if version is None or channel is None or channel not in policy.channels:
        return {}
    artifacts = schedule.sorted_artifacts(policy, version, manifest.tag.name, manifest.artifacts)
    return {
        "version": str(version),
        "channel": channel,
        "draft": policy.channels[channel].draft,
        "artifacts": artifacts,
        "publications": schedule.publications(policy, version, channel, artifacts, registries),
        "downstream": schedule.deliveries(policy, channel),
    }


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(getattr(entry, "id", "") or f"{entry.name} in {entry.group}" for entry in value) or "none"
    return str(value).lower() if isinstance(value, bool) else str(value)
