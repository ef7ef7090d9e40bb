"""What is wrong in a source of settings is fatal, and named with its place and what is accepted."""

from __future__ import annotations

import pytest

from configs.errors import ConfigError

MODEL_FILE = "configs/model_config.yaml"
INFERENCE_FILE = "configs/inference_config.yaml"


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
            ("DECODING__LENGTH_PENALTY", "1000", "length_penalty = '1000': should be less than or equal to 5"),
            ("DECODING__LENGTH_PENALTY", "-6", "length_penalty = '-6': should be greater than or equal to -5"),
            ("DECODING__REPETITION_PENALTY", "1e300", "penalty = '1e300': should be less than or equal to 100"),
            ("DECODING__REPETITION_PENALTY", "1e-300", "= '1e-300': should be greater than or equal to 0.01"),
            ("DECODING__MAX_LENGTH_RATIO", "1e308", "ratio = '1e308': should be less than or equal to 1000"),
            ("DECODING__NUM_BEAMS", "9", "decoding.num_beams = '9': should be at most decoding.max_num_beams = 8"),
            ("LIMITS__MAX_BODY_BYTES", "2 pigs", "limits.max_body_bytes = '2 pigs': could not interpret byte unit"),
            ("WARMUP__SAMPLES", "[", "warmup.samples = '[': should be JSON"),
            ("WARMUP__SAMPLES", '[{"text": "a"}]', "warmup.samples.0.source_lang"),
            ("WARMUP__SAMPLES", "[" * 5_000, "should be JSON"),
            ("MODEL__DEFAULT_ADAPTERS", '{"en-hi": "m"}', "should be two FLORES-200 codes"),
            ("ACCESS__RATE_LIMITS", '{"detect": "1/day", "detect": "9/day"}', "key 'detect' is given twice"),
            ("ACCESS__TRUSTED_PROXIES", '["proxy"]', "should be an address or a network, such as 10.0.0.0/8"),
            ("ACCESS__CORS_ORIGINS", '["*"]', "should be scheme, host and maybe port"),
            ("TRACING__ENDPOINT", "collector:4318", "= 'collector:4318': should be an address such as http://"),
            ("TRACING__ENDPOINT", "http://collector:port", "should be an address such as http://"),
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
        """A beam that no batch could hold is refused, and so is a store or a learned vocabulary without its place."""
        overrides = {"batching.max_rows": 4}
        assert folder.problems(overrides=overrides)[0].startswith(
            "configuration: decoding.max_num_beams = 8 should be at most batching.max_rows = 4"
        )
        (problem,) = folder.problems(overrides={"access.store": "redis"})
        assert problem.endswith("access.store = 'redis' needs access.redis_url")
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

    @pytest.mark.parametrize("text", ["authorization=hunter2", '{"authorization": "hunter2"', '["hunter2"]'])
    def test_secrets_in_a_mapping_are_masked(self, folder, text):
        """What is not even JSON may hold a token all the same."""
        (problem,) = folder.problems(environ={"NLLB__TRACING__HEADERS": text})
        assert problem.startswith("variable NLLB__TRACING__HEADERS: tracing.headers = **********: should be ")
        assert "hunter2" not in problem

    @pytest.mark.parametrize("key", ["access.redis_url", "glossaries.redis_url"])
    @pytest.mark.parametrize(
        "url",
        [
            "http://:hunter2@h",
            "h:6379",
            "redis://:hunter2@h:notaport",
            "redis://:hun/ter2@h",
            "redis://",
            "redis://h/x",
        ],
    )
    def test_an_address_of_redis(self, folder, key, url):
        """What is none is refused here, not by the first request; it may hold a password and is not shown."""
        (problem,) = folder.problems(overrides={key: url})
        assert problem.startswith(
            f"override {key}: {key} = **********: should be like redis://user:password@host:6379/1"
        )

    @pytest.mark.parametrize(
        "url", ["redis://h", "redis://u:p%2F@h:6379/1", "rediss://[::1]:6380/0?ssl_cert_reqs=none"]
    )
    def test_addresses_of_redis_that_are_accepted(self, folder, url):
        """A host is enough; TLS, a user, a database and options may be there."""
        found = folder.load(overrides={"access.redis_url": url}).settings.access.redis_url
        assert found.get_secret_value() == url

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
            (
                "model: {default_adapters: {a: b,\n a: c}}",
                "1: model.default_adapters: not valid YAML: key 'a' is given twice",
            ),
            (
                "model: {default_adapters: {? [a] : b}}",
                "1: model.default_adapters: not valid YAML: found unhashable key",
            ),
            ("model:\n  name: 2026-13-45", "2: model.name = '2026-13-45': not the timestamp that its form or tag says"),
            ("model: {name: !!int abc}", "1: model.name = 'abc': not the int that"),
            ("model: {name: !!timestamp foo}", "1: model.name = 'foo': not the timestamp that"),
            ("model: {name: !!bool maybe}", "1: model.name = 'maybe': not the bool that"),
            ("model: {name: !!int ''}", "1: model.name = '': not the int that"),
            (
                "model: {default_adapters: {a: !!int b}}",
                "1: model.default_adapters: a value in it is not what its",
            ),
            ("model:\n  name: " + "[" * 3_000, "2: not valid YAML: nested too deeply"),
            (
                "model:\n  name: !!python/name:os.system x\n",
                "2: model.name: not valid YAML: could not determine a constructor",
            ),
        ],
    )
    def test_yaml_of_the_wrong_shape(self, folder, text, expected):
        """Doubled keys, lists for sections, Python tags, values that are not what they look like: file, line, key."""
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
