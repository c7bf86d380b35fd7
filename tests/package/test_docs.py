"""The documents: their links lead somewhere, and what they list is there."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
from support.paths import CHECKOUT

from laplace_server.client import AsyncClientLHC, ClientLHC

DOCUMENTS = sorted([*CHECKOUT.glob("*.md"), *(CHECKOUT / "docs").rglob("*.md")])


def anchors(text: str) -> set[str]:
    """The names by which a document's headings are linked to."""
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    assert text.startswith("# ")
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = document.parent / name if name else document
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target.read_text(encoding="utf-8")), link


def test_every_document_can_be_found_from_the_readme() -> None:
    found, waiting = set(), [CHECKOUT / "README.md"]
    while waiting:
        document = waiting.pop().resolve()
        if document in found or not document.exists():
            continue
        found.add(document)
        links = re.findall(r"\]\(([^)#\s]+\.md)", document.read_text(encoding="utf-8"))
        waiting += [document.parent / link for link in links if "://" not in link]
    assert {path.resolve() for path in DOCUMENTS} == found


def test_the_verbs_are_those_of_the_noxfile() -> None:
    noxfile = (CHECKOUT / "noxfile.py").read_text(encoding="utf-8")
    verbs = re.findall(r"^@nox\.session.*\ndef (\w+)\(", noxfile, flags=re.MULTILINE)
    contributing = (CHECKOUT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `nox -s (\w+)", contributing, flags=re.MULTILINE) == verbs


@pytest.mark.parametrize("document", ["README.md", "docs/clients.md"])
@pytest.mark.parametrize("kind", [ClientLHC, AsyncClientLHC])
def test_every_method_of_a_client_is_listed(kind: type, document: str) -> None:
    methods = {
        name for name in dir(kind) if name[0] != "_" and inspect.isroutine(getattr(kind, name))
    }
    text = (CHECKOUT / document).read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.*?) \|", text, flags=re.MULTILINE)
    listed = [name for row in rows for name in re.findall(r"`(\w+)\(", row)]
    assert {name for name in methods if listed.count(name) == 0} == set()
    assert set(listed) <= methods
