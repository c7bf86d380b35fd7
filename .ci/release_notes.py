"""Print what CHANGELOG.md says of a release: release_notes.py TAG.

Fails where the tag is not v and the version of pyproject.toml, or the changelog has no such
heading: a release then has not been prepared.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def notes(tag: str) -> str:
    """Return the section of the version that the tag names."""
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    stated = re.findall(r'^version = "(.+)"$', pyproject, flags=re.MULTILINE)
    if stated != [tag.removeprefix("v")] or not tag.startswith("v"):
        sys.exit(f"the tag is {tag}, the version in pyproject.toml {stated}")
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    heading = rf"^## \[{re.escape(stated[0])}\] - \d{{4}}-\d\d-\d\d\n(.*?)(?=^## |^\[|\Z)"
    found = re.search(heading, changelog, flags=re.MULTILINE | re.DOTALL)
    if found is None or not found[1].strip():
        sys.exit(f"CHANGELOG.md has no section '## [{stated[0]}] - YEAR-MONTH-DAY'")
    return found[1].strip()


if __name__ == "__main__":
    print(notes(sys.argv[1]))
