"""The configuration files of this repository say what is true."""

from __future__ import annotations

import re

import pytest
import yaml

from configs.loader import FILES, ROOT, environments, load_settings, load_with_origins
from configs.schema import Settings
from configs.sources import FIELDS

OVERLAYS = [f"configs/environments/{name}.yaml" for name in environments()]


def uncommented(file: str) -> Settings:
    """What the file would set if the keys that it shows as comments were live."""
    body = (ROOT / file).read_text(encoding="utf-8").split("\n\n", 1)[1]
    live = re.sub(r"^( *)# ([a-z_]+:( .*)?)$", r"\1\2", body, flags=re.MULTILINE)
    return Settings.model_validate(yaml.safe_load(live))


@pytest.mark.parametrize("name", environments())
def test_every_environment_loads(name):
    """No file, together with any overlay, holds an unknown key or a value that is not accepted."""
    load_settings(name, root=ROOT, environ={})


def test_the_documented_environments_exist():
    """Development, rehearsal and production each have an overlay that changes something."""
    assert environments() == ["dev", "prod", "staging"]
    for name in environments():
        origins = load_with_origins(name, root=ROOT, environ={}).origins.values()
        assert any(origin.startswith(f"configs/environments/{name}.yaml") for origin in origins)


@pytest.mark.parametrize("file", FILES)
def test_files_restate_the_defaults_as_they_are(file):
    """The values shown as comments equal the schema's defaults."""
    assert uncommented(file) == Settings()


@pytest.mark.parametrize("file", FILES)
def test_files_show_every_key(file):
    """A reader finds each key of a file's sections in it, the password apart."""
    text = (ROOT / file).read_text(encoding="utf-8")
    expected = {key.rpartition(".")[2] for key in FIELDS if key.partition(".")[0] in FILES[file]}
    shown = set(re.findall(r"^ *(?:# )?([a-z_]+):", text, flags=re.MULTILINE))
    assert expected - shown <= {"password"}


@pytest.mark.parametrize("file", [*FILES, *OVERLAYS])
def test_files_open_with_purpose_command_and_override(file):
    """The first comment says what the file is for, what uses it and how to override it."""
    first, used_by, override, *_ = (ROOT / file).read_text(encoding="utf-8").splitlines()
    assert first.startswith("# ")
    assert used_by.startswith("# Used by:  ")
    assert override.startswith("# Override: ")


@pytest.mark.parametrize("file", [*FILES, *OVERLAYS])
def test_variables_named_in_files_exist(file):
    """A variable that a comment names is one that the loader knows."""
    named = re.findall(r"NLLB__\w+", (ROOT / file).read_text(encoding="utf-8"))
    assert {name[6:].lower().replace("__", ".") for name in named} <= set(FIELDS)


def test_every_section_of_the_schema_has_a_file():
    """No top-level section is without a home among the files, and none has two."""
    homes = [section for sections in FILES.values() for section in sections]
    assert sorted(homes) == sorted(Settings.model_fields)


def test_every_field_is_described():
    """Each field says what it means."""
    assert [key for key, info in FIELDS.items() if not info.description] == []


def test_no_file_is_left_unread():
    """Every YAML file of the folder is one that is read."""
    found = {str(path.relative_to(ROOT)) for path in (ROOT / "configs").rglob("*.yaml")}
    assert found == {*FILES, *OVERLAYS}
