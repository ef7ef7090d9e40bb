"""What the image of `cluster/Dockerfile` puts into the environment."""

from __future__ import annotations

import re

from tests.chaos.harness import ROOT

_VARIABLE = re.compile(r'^\s*(?:ENV )?([A-Z_]+)=(?:"([^"]*)"|(\S+))', re.MULTILINE)


def image_variables() -> dict[str, str]:
    """Return the variables of its last stage, but for PATH."""
    text = (ROOT / "cluster" / "Dockerfile").read_text(encoding="utf-8")
    final = text[text.rindex("FROM ") :]
    found = {name: quoted or plain for name, quoted, plain in _VARIABLE.findall(final)}
    del found["PATH"]
    return found
