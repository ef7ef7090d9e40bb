"""Which source wins, and what every kind of bad value says."""

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


class TestUnknownKeys:
    """A key that the schema does not declare is fatal in every source."""

    def test_in_a_file(self, folder):
        """The message has file, line, key and the nearest key."""
        folder.write(MODEL_FILE, "model:\n  name: demo\n  devcie: cpu\n")
        assert folder.problems() == (
            "configs/model_config.yaml:3: model.devcie: unknown key; did you mean model.device?",
        )

    def test_in_an_overlay(self, folder):
        """An unknown section of an overlay is as fatal as one of a file."""
        folder.write("configs/environments/prod.yaml", "chace: {type: redis}")
        assert folder.problems("prod") == ("configs/environments/prod.yaml:1: chace: unknown key; did you mean cache?",)

    def test_in_the_env_file(self, folder):
        """The message has the line of `.env` and the variable."""
        folder.write(".env", "\nNLLB__CACHE__REDIS__PROT=1\n")
        (problem,) = folder.problems()
        assert problem.startswith(".env:2 NLLB__CACHE__REDIS__PROT: cache.redis.prot: unknown key; did you mean")

    def test_in_a_variable(self, folder):
        """A misspelt section is found too, although no field begins with its name."""
        assert folder.problems(environ={"NLLB__CAHCE__TYPE": "redis"}) == (
            "variable NLLB__CAHCE__TYPE: cahce.type: unknown key; did you mean cache.type?",
        )

    def test_in_an_override(self, folder):
        """Overrides by a program are held to the same keys."""
        assert folder.problems(overrides={"batching.max_row": 1}) == (
            "override batching.max_row: batching.max_row: unknown key; did you mean batching.max_rows?",
        )

    def test_without_a_near_one_lists_what_is_accepted(self, folder):
        """A key that resembles none gets the list of its section."""
        assert folder.problems(environ={"NLLB__LOGGING__XYZ": "1"}) == (
            "variable NLLB__LOGGING__XYZ: logging.xyz: unknown key; accepted: logging.calls, "
            "logging.format, logging.level, logging.texts",
        )

    def test_a_section_is_no_value(self, folder):
        """A variable or override that names a whole section is told its keys."""
        (problem,) = folder.problems(environ={"NLLB__WARMUP": "{}"})
        assert problem == (
            "variable NLLB__WARMUP: warmup: is a section; set one of its keys: warmup.enabled, warmup.samples"
        )

    def test_in_the_wrong_file(self, folder):
        """Each key has one home among the files."""
        folder.write(MODEL_FILE, "logging: {level: DEBUG}")
        assert folder.problems() == ("configs/model_config.yaml:1: logging: does not belong here; accepted: model",)


class TestBadValues:
    """A value that the schema does not accept is fatal in every source."""

    @pytest.mark.parametrize(
        ("variable", "text", "expected"),
        [
            ("CACHE__TYPE", "disk", "cache.type = 'disk': should be 'memory' or 'redis'"),
            ("BATCHING__MAX_ROWS", "many", "batching.max_rows = 'many': should be a valid integer"),
            ("BATCHING__MAX_ROWS", "0", "batching.max_rows = '0': should be greater than 0"),
            ("MODEL__OFFLINE", "perhaps", "model.offline = 'perhaps': should be a valid boolean"),
            ("DECODING__LENGTH_PENALTY", "nan", "decoding.length_penalty = 'nan': should be a finite number"),
            ("DECODING__NUM_BEAMS", "9", "decoding.num_beams = '9': should be at most decoding.max_num_beams = 8"),
            ("LIMITS__MAX_BODY_BYTES", "2 pigs", "limits.max_body_bytes = '2 pigs': could not interpret byte unit"),
            ("WARMUP__SAMPLES", "[", "warmup.samples = '[': should be JSON"),
            ("WARMUP__SAMPLES", '[{"text": "a"}]', "warmup.samples.0.source_lang"),
            ("MODEL__DEFAULT_ADAPTERS", '{"en-hi": "m"}', "should be two FLORES-200 codes"),
        ],
    )
    def test_in_a_variable(self, folder, variable, text, expected):
        """The message has variable, key, value and what is accepted."""
        problem = folder.problems(environ={f"NLLB__{variable}": text})[0]
        assert problem.startswith(f"variable NLLB__{variable}: ")
        assert expected in problem

    def test_in_a_file(self, folder):
        """The message has the file and the line."""
        folder.write(INFERENCE_FILE, "batching:\n  max_rows: lots\n")
        (problem,) = folder.problems()
        assert problem.startswith(f"{INFERENCE_FILE}:2: batching.max_rows = 'lots': should be a valid integer")

    def test_yes_is_no_number(self, folder):
        """YAML's bare `yes` is not taken for 1."""
        folder.write(INFERENCE_FILE, "batching: {max_rows: yes}")
        assert folder.problems() == (f"{INFERENCE_FILE}:1: batching.max_rows = True: should not be true or false",)

    def test_rules_over_several_keys_name_them(self, folder):
        """A beam that no batch could hold is refused, and so is a learned vocabulary without its list."""
        overrides = {"batching.max_rows": 4}
        assert folder.problems(overrides=overrides)[0].startswith(
            "configuration: decoding.max_num_beams = 8 should be at most batching.max_rows = 4"
        )
        assert folder.problems(overrides={"model.vocabulary": "learned"}) == (
            "configuration: model.vocabulary = 'learned' needs model.shortlist_file",
        )

    def test_secrets_are_masked(self, folder):
        """A password of the wrong type is not shown, nor one under a misspelt name."""
        folder.write(INFERENCE_FILE, "cache:\n  redis:\n    password: 31337\n    pasword: hunter2\n")
        shown = "\n".join(folder.problems())
        assert "cache.redis.password = **********: should be a valid string" in shown
        assert "cache.redis.pasword: unknown key; did you mean cache.redis.password?" in shown
        assert "31337" not in shown
        assert "hunter2" not in shown

    def test_all_problems_are_told_together(self, folder):
        """One start shows every problem of every source, one a line."""
        folder.write(MODEL_FILE, "model: {nmae: x}")
        folder.write(".env", "NLLB__CACHE__TYPE=disk")
        with pytest.raises(ConfigError) as raised:
            folder.load("qa", {"limits.x": 1}, {"NLLB__WARMUP__SAMPLES": "{"})
        assert len(raised.value.problems) == 5
        assert str(raised.value).count("\n") == 4


class TestUnreadableSources:
    """A source that cannot be read is fatal."""

    def test_malformed_yaml_has_its_line(self, folder):
        """A syntax error is told with file and line."""
        folder.write(MODEL_FILE, "model:\n  name: demo\n  engine: [\n")
        (problem,) = folder.problems()
        assert problem.startswith("configs/model_config.yaml:4: not valid YAML: ")

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("model:\n  name: a\n  name: b\n", "3: model.name: given twice, first at configs/model_config.yaml:2"),
            ("- model\n", "1: the file should hold keys, as `key: value` lines"),
            ("model: demo\n", "1: model should hold keys, as `key: value` lines"),
            ("model:\n  name: !!python/name:os.system x\n", "2: not valid YAML: could not determine a constructor"),
        ],
    )
    def test_yaml_of_the_wrong_shape(self, folder, text, expected):
        """Doubled keys, lists for sections and Python tags are refused, with file and line."""
        folder.write(MODEL_FILE, text)
        (problem,) = folder.problems()
        assert problem.startswith(f"configs/model_config.yaml:{expected}")

    def test_missing_file(self, folder):
        """A file that is gone is not taken for an empty one."""
        (folder.root / MODEL_FILE).unlink()
        (problem,) = folder.problems()
        assert problem.startswith("configs/model_config.yaml: cannot be read: ")

    def test_file_that_is_no_text(self, folder):
        """Bytes that are no UTF-8 are refused, in YAML and in `.env`."""
        (folder.root / MODEL_FILE).write_bytes(b"model: {name: \xff}")
        (folder.root / ".env").write_bytes(b"NLLB__MODEL__NAME=\xff")
        in_env_file, in_yaml = folder.problems()
        assert in_env_file.startswith(".env: cannot be read: ")
        assert in_yaml.startswith("configs/model_config.yaml: cannot be read: ")

    def test_malformed_env_file(self, folder):
        """A line of `.env` that is no assignment is told with its number."""
        folder.write(".env", "NLLB__CACHE__TYPE=redis\n= nothing\n")
        assert folder.problems() == (".env:2: not a `NAME=value` line",)

    def test_unknown_environment(self, folder):
        """The message has the variable, its value, all environments and the nearest."""
        assert folder.problems(environ={"NLLB_ENV": "prd"}) == (
            "variable NLLB_ENV: environment = 'prd': accepted: dev, prod; did you mean prod?",
        )

    def test_environment_is_no_path(self, folder):
        """Only files of the folder of environments can be named."""
        assert "accepted: dev, prod" in folder.problems("../model_config")[0]


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
