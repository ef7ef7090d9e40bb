"""What the documents name is there: linked files, commands, settings, and a reason for each block that is not run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.documents import code_blocks

_ROOT = Path(__file__).parents[2]
_DOCUMENTS = sorted(str(path.relative_to(_ROOT)) for path in [*_ROOT.glob("*.md"), *_ROOT.glob("docs/**/*.md")])


@pytest.mark.parametrize("name", _DOCUMENTS)
def test_links_lead_somewhere(name: str) -> None:
    """Each relative link is a file or a folder of the checkout."""
    document = _ROOT / name
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", document.read_text(encoding="utf-8")):
        assert (document.parent / target).exists(), target


@pytest.mark.parametrize("name", _DOCUMENTS)
def test_make_targets_exist(name: str) -> None:
    """Each `make target` in a block or in a sentence is one."""
    targets = set(re.findall(r"^([a-z-]+):", (_ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = re.findall(r"(?:`|^|&& |: )make ([a-z-]+)", (_ROOT / name).read_text(encoding="utf-8"), re.MULTILINE)
    assert set(named) <= targets


@pytest.mark.parametrize("name", _DOCUMENTS)
def test_blocks_that_are_not_run_say_why(name: str) -> None:
    """A shell or Python block is run, or gives its reason: `bash not-tested: needs a Mac`."""
    for block in code_blocks(_ROOT / name):
        if block.language in {"bash", "python"} and (name != "README.md" or block.remark):
            assert re.fullmatch(r"not-tested: .{8,}", block.remark), block


def test_every_folder_has_its_line() -> None:
    """The architecture names each folder that holds a package, and none that is not there."""
    document = (_ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\| `([a-z_/]+)/` \|", document, re.MULTILINE))
    assert all((_ROOT / folder).is_dir() for folder in named)
    packages = {path.parent for path in _ROOT.glob("[a-z]*/**/__init__.py")}
    code = {str(folder.relative_to(_ROOT)) for folder in packages if "site-packages" not in folder.parts}
    assert code | {"tests"} <= named


def test_every_warning_is_explained() -> None:
    """docs/quality.md has a row for each code that the pipeline gives, and for no other."""
    document = (_ROOT / "docs" / "quality.md").read_text(encoding="utf-8")
    table = document.partition("| code | what was seen |")[2].partition("\n\n")[0]
    sources = "".join(path.read_text(encoding="utf-8") for path in (_ROOT / "pipelines").rglob("*.py"))
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == set(re.findall(r'Notice\(\s*"(\w+)"', sources))
