"""Whether the files of a results directory are those that its campaign left behind."""

import hashlib
from pathlib import Path
from typing import Any

from memsync_results.exits import Exit, Refusal
from memsync_results.load import Campaign, load_campaign, read_manifest

# Whatever a judgement reads; a campaign that calibrated nothing has no calibration.json.
_SIGNED = ("plan.csv", "registry.json", "runs.csv", "schema.json", "suite.yaml")
UNSIGNED = ("manifest.json names no digests: the campaign did not end, or an older memsync wrote "
            "it")


def digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def digest_findings(directory: Path, manifest: dict[str, Any]) -> list[str]:
    """What differs from the manifest's digests, one sentence per file; [] when nothing does."""
    known = manifest.get("files")
    if not isinstance(known, dict) or not known:
        return [UNSIGNED]
    findings = [f"manifest.json names no digest of {name}" for name in _SIGNED if name not in known]
    for name, digest in sorted(known.items()):
        path = directory / name
        if not path.is_file():
            findings.append(f"{name} is missing")
        elif digest_of(path) != digest:
            findings.append(f"{name} was changed after the campaign: its SHA-256 is not the "
                            "manifest's")
    return findings


def load_unchanged(directory: Path) -> Campaign:
    """Loads a campaign to judge it. Raises Refusal (INCOMPLETE) where a file is not its own."""
    if directory.is_dir():
        if findings := digest_findings(directory, read_manifest(directory)):
            raise Refusal(Exit.INCOMPLETE, f"{directory}: {findings[0]}; nothing is judged by it "
                          f"(memsync verify {directory} shows all)")
    return load_campaign(directory)
