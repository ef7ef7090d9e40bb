"""`python -m configs show` and `check`."""

from __future__ import annotations

import json

import pytest

from configs.__main__ import main
from configs.loader import ROOT
from configs.sources import FIELDS


def test_show_prints_every_value_and_its_origin(folder, capsys):
    """One row per key: key, value, and file and line, variable, or default."""
    folder.write("configs/environments/prod.yaml", "cache:\n  type: redis\n")
    environ = {"NLLB__MODEL__ENGINE": "identity"}
    assert main(["show", "--environment", "prod"], root=folder.root, environ=environ) == 0
    first, *lines = capsys.readouterr().out.splitlines()
    rows = {tuple(line.split(maxsplit=2)) for line in lines}
    assert first == "environment: prod"
    assert ("cache.type", "redis", "configs/environments/prod.yaml:2") in rows
    assert ("model.engine", "identity", "variable NLLB__MODEL__ENGINE") in rows
    assert ("batching.max_rows", "32", "default") in rows
    assert len(rows) == len(FIELDS) + 1


def test_show_as_json(folder, capsys):
    """The same as JSON, by dotted key."""
    assert main(["show", "--json"], root=folder.root, environ={"NLLB__TRAINING__LORA__R": "8"}) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["environment"] == "dev"
    assert set(shown["settings"]) == set(FIELDS)
    assert shown["settings"]["training.lora.r"] == {"value": 8, "from": "variable NLLB__TRAINING__LORA__R"}
    assert shown["settings"]["model.revision"] == {"value": None, "from": "default"}


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_show_masks_secrets(folder, capsys, flags):
    """A password never reaches the screen."""
    environ = {"NLLB__CACHE__REDIS__PASSWORD": "hunter2"}
    assert main(["show", *flags], root=folder.root, environ=environ) == 0
    out = capsys.readouterr().out
    assert "hunter2" not in out
    assert "**********" in out


def test_show_of_a_bad_configuration(folder, capsys):
    """Problems go to standard error, without a traceback, and the status is 1."""
    assert main(["show"], root=folder.root, environ={"NLLB__CACHE__TYPE": "disk"}) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "variable NLLB__CACHE__TYPE: cache.type = 'disk': should be 'memory' or 'redis'\n"


def test_check_reads_every_environment(folder, capsys):
    """A fault in any overlay is found, and one that all environments share is told once."""
    folder.write("configs/logging_config.yaml", "logging: {level: LOUD}")
    folder.write("configs/environments/prod.yaml", "limits: {max_batch_items: none}")
    assert main(["check"], root=folder.root, environ={}) == 1
    dev, prod = capsys.readouterr().err.splitlines()
    assert dev.startswith("configs/logging_config.yaml:1: logging.level = 'LOUD'")
    assert prod.startswith("configs/environments/prod.yaml:1: limits.max_batch_items = 'none'")


def test_check_reads_the_chosen_environment(folder, capsys):
    """An NLLB_ENV that names no environment is a fault too."""
    assert main(["check"], root=folder.root, environ={"NLLB_ENV": "qa"}) == 1
    assert capsys.readouterr().err.startswith("variable NLLB_ENV: environment = 'qa': accepted: dev, prod")


def test_check_of_this_repository(capsys):
    """The files as committed are valid."""
    assert main(["check"], root=ROOT, environ={}) == 0
    assert capsys.readouterr().out == "configuration is valid in every environment: dev, prod, staging\n"


def test_one_underscore_too_few_is_no_silent_default(folder, capsys):
    """A service that should ask for keys would be open; what Kubernetes sets for a service of that name is let be."""
    environ = {"NLLB_ACCESS__KEYS": "required", "NLLB_PORT": "tcp://10.0.0.1:8000", "NLLB_ENV": "dev"}
    assert main(["show"], root=folder.root, environ=environ) == 1
    expected = "variable NLLB_ACCESS__KEYS: settings begin with NLLB__; did you mean NLLB__ACCESS__KEYS?\n"
    assert capsys.readouterr().err == expected
