"""Which source wins, how variables are read, and what the settings are like."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest
from pydantic import ValidationError

from configs.errors import ConfigError
from configs.loader import ROOT, load_settings
from configs.schema import Settings

MODEL_FILE = "configs/model_config.yaml"
INFERENCE_FILE = "configs/inference_config.yaml"


class TestPrecedence:
    """Which source wins."""

    def test_empty_files_give_the_defaults(self, folder):
        """Defaults live in the schema alone."""
        loaded = folder.load()
        assert loaded.settings == Settings()
        assert loaded.environment == "dev"
        assert loaded.origins == {}

    def test_each_source_wins_over_those_before_it(self, folder):
        """Defaults < YAML < overlay < .env < variables < overrides, and each origin is told."""
        key = "limits.request_timeout_s"
        seen = [(folder.load().settings.limits.request_timeout_s, None)]

        def look(**named):
            loaded = folder.load(**named)
            seen.append((loaded.settings.limits.request_timeout_s, loaded.origins[key]))

        folder.write(INFERENCE_FILE, "limits:\n  request_timeout_s: 1\n")
        look()
        folder.write("configs/environments/dev.yaml", "limits:\n\n  request_timeout_s: 2\n")
        look()
        folder.write(".env", "# a comment\nNLLB__LIMITS__REQUEST_TIMEOUT_S=3\n")
        look()
        environ = {"NLLB__LIMITS__REQUEST_TIMEOUT_S": "4"}
        look(environ=environ)
        look(environ=environ, overrides={key: 5})
        assert seen == [
            (60, None),
            (1, "configs/inference_config.yaml:2"),
            (2, "configs/environments/dev.yaml:3"),
            (3, ".env:2 NLLB__LIMITS__REQUEST_TIMEOUT_S"),
            (4, "variable NLLB__LIMITS__REQUEST_TIMEOUT_S"),
            (5, "override limits.request_timeout_s"),
        ]

    def test_sources_merge_key_by_key(self, folder):
        """An overlay that sets one key of a section leaves the section's other keys as they were."""
        folder.write(INFERENCE_FILE, "cache: {type: redis, redis: {host: a, port: 1}}")
        folder.write("configs/environments/dev.yaml", "cache: {redis: {host: b}}")
        redis = folder.load(environ={"NLLB__CACHE__REDIS__DB": "2"}).settings.cache.redis
        assert (redis.host, redis.port, redis.db) == ("b", 1, 2)

    @pytest.mark.parametrize(
        ("argument", "variable", "in_env_file", "expected"),
        [
            (None, None, "", "dev"),
            (None, None, "NLLB_ENV=prod", "prod"),
            (None, "dev", "NLLB_ENV=prod", "dev"),
            ("prod", "dev", "NLLB_ENV=dev", "prod"),
            (None, "", "", "dev"),
        ],
    )
    def test_environment_is_chosen_like_any_value(self, folder, argument, variable, in_env_file, expected):
        """The argument wins over the variable NLLB_ENV, that over .env, and `dev` is taken without any."""
        folder.write(".env", in_env_file)
        environ = {} if variable is None else {"NLLB_ENV": variable}
        assert folder.load(argument, environ=environ).environment == expected

    def test_section_of_comments_alone_is_empty(self, folder):
        """A section whose keys are all commented out keeps its defaults."""
        folder.write(INFERENCE_FILE, "cache:\n  memory:\n    # max_size: 5\n")
        assert folder.load().settings == Settings()


class TestVariables:
    """How the text of a variable becomes a value."""

    def test_lists_and_mappings_are_json(self, folder):
        """What is no plain value is given as JSON."""
        settings = folder.load(
            environ={
                "NLLB__MODEL__DEFAULT_ADAPTERS": '{"eng_Latn-hin_Deva": "medical"}',
                "NLLB__TRAINING__LORA__TARGETS": '["q_proj"]',
            }
        ).settings
        assert settings.model.default_adapters == {"eng_Latn-hin_Deva": "medical"}
        assert settings.training.lora.targets == ("q_proj",)

    def test_text_that_looks_like_json_stays_text(self, folder):
        """A password of digits is a password, not a number."""
        password = folder.load(environ={"NLLB__CACHE__REDIS__PASSWORD": "12345"}).settings.cache.redis.password
        assert password is not None
        assert password.get_secret_value() == "12345"

    def test_null_is_null_and_empty_is_unset(self, folder):
        """`null` takes a value away; an empty variable changes nothing."""
        folder.write(MODEL_FILE, "model: {revision: main, name: some/model}")
        model = folder.load(environ={"NLLB__MODEL__REVISION": "null", "NLLB__MODEL__NAME": ""}).settings.model
        assert (model.revision, model.name) == (None, "some/model")

    def test_names_in_lower_case_and_foreign_variables(self, folder):
        """Names are compared without case, and variables of other programs are not looked at."""
        environ = {"nllb__cache__type": "redis", "PATH": "/bin", "NLLB_OTHER": "x"}
        assert folder.load(environ=environ).settings.cache.type == "redis"

    def test_sizes_take_units(self, folder):
        """Bytes may be written with a unit."""
        environ = {"NLLB__CACHE__MEMORY__MAX_BYTES": "1.5GiB"}
        assert folder.load(environ=environ).settings.cache.memory.max_bytes == 3 * 2**29


class TestSettings:
    """What is returned can be shared, sent and printed."""

    def test_are_frozen(self):
        """No value can be changed, at any depth."""
        with pytest.raises(ValidationError, match="frozen"):
            Settings().cache.memory.max_size = 1  # type: ignore[misc]

    def test_survive_pickling(self, folder):
        """Settings travel to other processes with their secrets; errors with their problems."""
        environ = {"NLLB__CACHE__REDIS__PASSWORD": "hunter2", "NLLB__CACHE__MEMORY__MAX_BYTES": "1GiB"}
        settings = folder.load(environ=environ).settings
        copy = pickle.loads(pickle.dumps(settings))
        assert copy == settings
        assert copy.cache.redis.password.get_secret_value() == "hunter2"
        error = pickle.loads(pickle.dumps(ConfigError("a", "b")))
        assert (error.problems, str(error)) == (("a", "b"), "a\nb")

    def test_hide_secrets_in_repr(self, folder):
        """Neither repr nor str shows a password."""
        settings = folder.load(environ={"NLLB__CACHE__REDIS__PASSWORD": "hunter2"}).settings
        assert "hunter2" not in f"{settings!r} {settings}"

    def test_load_settings_returns_the_same(self, folder):
        """The short form gives the settings alone."""
        overrides = {"model.engine": "identity"}
        settings = load_settings("prod", overrides, root=folder.root, environ={})
        assert settings == folder.load("prod", overrides).settings

    def test_loading_pulls_in_no_framework(self):
        """Reading the configuration imports neither torch nor Ray."""
        code = "import sys, configs.loader; print({'torch', 'ray', 'transformers', 'fastapi'} & set(sys.modules))"
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "set()"
