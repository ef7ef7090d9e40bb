"""Compiles the kernels: `python -m pipelines.engine.kernels.build`, as `make install` does.

They are optional: without a compiler, or on another processor, the engine takes torch's own operations.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

_FOLDER = Path(__file__).parent
_SOURCES = sorted(_FOLDER.glob("*.cpp"))
_AVX512 = ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx512vnni"]
_COMPILE = ["-std=c++17", "-O3", "-fPIC", "-fopenmp", *_AVX512, "-mamx-tile", "-mamx-int8"]
_BUILT = _FOLDER.parents[2] / "build"


class BuildError(Exception):
    """The kernels cannot be compiled; the message says why."""


def library_file() -> Path:
    """Return where the library of these sources is, or would be: an older one is never taken for it."""
    content = b"".join(file.read_bytes() for file in [*_SOURCES, *sorted(_FOLDER.glob("*.h"))])
    key = hashlib.sha256(content + " ".join(_COMPILE).encode()).hexdigest()[:16]
    return _BUILT / f"kernels-{key}.so"


def build_is_of_no_use() -> bool:
    """Whether there are no kernels for this kind of machine."""
    return sys.platform != "linux" or platform.machine() != "x86_64"


def build() -> Path | None:
    """Compile, unless it has been done.

    Returns:
        The library that was made; None if there was nothing to do, here or on this kind of machine at all.

    Raises:
        BuildError: There is no compiler, or it fails.
    """
    file = library_file()
    if file.is_file() or build_is_of_no_use():
        return None
    compiler = shlex.split(os.environ.get("CXX", "c++"))
    if shutil.which(compiler[0]) is None:
        raise BuildError(f"there is no {compiler[0]}: install a C++ compiler (Debian and Ubuntu: apt-get install g++)")
    _BUILT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_BUILT) as folder:
        objects = [f"{folder}/{source.stem}.o" for source in _SOURCES]
        for source, target in zip(_SOURCES, objects, strict=True):
            _run([*compiler, *_COMPILE, "-c", str(source), "-o", target])
        # Without OpenMP's library: torch has loaded its own, and a second one would start threads of its own.
        _run([*compiler, "-shared", *objects, "-o", f"{folder}/library.so"])
        Path(f"{folder}/library.so").replace(file)  # whole: another process may be looking for it
    for older in set(_BUILT.glob("kernels-*.so")) - {file}:
        older.unlink()
    return file


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BuildError(f"{shlex.join(command)} failed:\n{done.stderr}")


if __name__ == "__main__":
    try:
        if built := build():
            print(f"Built the kernels for int8: {built}")
    except BuildError as error:
        print(f"The kernels for int8 are not built, torch's slower ones are used: {error}", file=sys.stderr)
        sys.exit(1)
