"""Whether the installed packages are those of requirements.lock."""

from __future__ import annotations

import hashlib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from notebook_pipeline.repository import LOCK, PACKAGE


def package_differences(root: Path) -> list[str]:
    """Say which packages of a repository's lock are not installed here, or in another version.

    Returns:
        Such as "numpy 2.3.1 instead of 2.4.0"; empty if all are as the lock tells,
        or there is no lock.
    """
    lock, found = root / LOCK, list[str]()
    if not lock.is_file():
        return found
    for line in lock.read_text(encoding="utf-8").splitlines():
        wanted = _requirement(line)
        if wanted is None or (wanted.marker and not wanted.marker.evaluate()):
            continue
        here = _version(wanted.name)
        if not here or not wanted.specifier.contains(here, prereleases=True):
            asked = str(wanted.specifier).removeprefix("==") or "any version"
            found.append(f"{wanted.name} {here or 'missing'} instead of {asked}")
    return found


def engine_digest() -> str:
    """Return a digest of the engine's own modules: two machines with equal ones have one engine."""
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        digest.update(path.relative_to(PACKAGE).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _requirement(line: str) -> Requirement | None:
    """Return what a line of a lock asks for; None for hashes, comments and options."""
    text = line.rstrip(" \\")
    if not text or text[0] in " #-":
        return None
    try:
        return Requirement(text)
    except InvalidRequirement:
        return None


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
