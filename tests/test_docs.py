"""The README and the pages of docs/ run as they are written, and name what exists."""

import re
from pathlib import Path

import jax
import pytest

import tauax as tx

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(?:python|\{code-cell\} python)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
EXTRAS = ("matplotlib", "xarray")


def blocks(page: Path) -> list:
    """The code of a page, block by block, each at the line numbers it has in the page."""
    text = page.read_text(encoding="utf-8")
    found = FENCE.finditer(text)
    return [
        compile("\n" * text.count("\n", 0, one.start(1)) + one[1], page, "exec") for one in found
    ]


WITH_CODE = [page for page in PAGES if FENCE.search(page.read_text(encoding="utf-8"))]


@pytest.mark.slow  # ten programs to compile per page
@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: page.stem)
def test_code_runs(page, monkeypatch):
    text = page.read_text(encoding="utf-8")
    for extra in EXTRAS:
        if f"import {extra}" in text:
            pytest.importorskip(extra)
    if "import matplotlib" in text:
        import matplotlib

        matplotlib.use("Agg")
    monkeypatch.chdir(page.parent)
    namespace = {"__name__": "__main__"}
    with jax.debug_key_reuse(True):
        for block in blocks(page):
            exec(block, namespace)


def test_every_page_with_a_kernel_has_code():
    pages = [page for page in PAGES if "kernelspec:" in page.read_text(encoding="utf-8")]
    assert len(pages) >= 5
    assert all(blocks(page) for page in [ROOT / "README.md", *pages])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_names_exist(page):
    names = re.findall(r"\btx\.(\w+)", page.read_text(encoding="utf-8"))
    missing = sorted(set(names) - set(tx.__all__))
    assert not missing


def test_reference_lists_every_public_name():
    reference = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\.\. auto\w+:: (?:tauax\.)?(\w+)$", reference, re.MULTILINE)
    assert sorted(set(tx.__all__) - set(listed)) == []


def test_local_links_lead_somewhere():
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+\.md)[^)]*\)", text):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
