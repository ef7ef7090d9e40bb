"""Ports of the commands of `make`."""

from __future__ import annotations

import pytest

from configs.errors import ConfigError
from configs.ports import read_port


def test_a_port_is_read_or_left_to_its_default():
    """`make` hands on what was not given as empty."""
    assert read_port("PORT", 8000, {"PORT": "8001"}) == 8001
    assert read_port("PORT", 8000, {"PORT": ""}) == read_port("PORT", 8000, {}) == 8000


@pytest.mark.parametrize("value", ["http", "-1", "0", "65536", "80 80"])
def test_what_is_no_port_is_refused_with_what_is(value):
    """By the variable's name and its value."""
    with pytest.raises(ConfigError, match=f"variable PORT = '{value}': should be a port, 1 to 65535"):
        read_port("PORT", 8000, {"PORT": value})
