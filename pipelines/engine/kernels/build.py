"""Compiles the kernels: `python -m pipelines.engine.kernels.build [--force]`, as `make install` does.

A library for each set of instructions: an image may be built on one processor and run on another.
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
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

_FOLDER = Path(__file__).parent
_AVX2 = ["-mavx2", "-mfma", "-mf16c"]
_AVX512 = [f"-mavx512{part}" for part in ("f", "bw", "dq", "vl", "vnni")]
# What the processor must have: the folders of sources, the first before the others, and the compiler's flags.
_Kinds = dict[str, tuple[tuple[str, ...], list[str]]]
_X86_64: _Kinds = {
    "avx2": (("avx2", "avx", "vectors"), _AVX2),
    "avx_vnni": (("avx_vnni", "avx", "vectors"), [*_AVX2, "-mavxvnni"]),
    "avx512": (("avx512",), [*_AVX2, *_AVX512, "-mamx-tile", "-mamx-int8"]),
}
_ARM64: _Kinds = {"neon": (("neon", "vectors"), ["-march=armv8.2-a+dotprod"])}
_OF_MACHINES = {"x86_64": _X86_64, "aarch64": _ARM64}
_KINDS = _OF_MACHINES.get(platform.machine(), {}) if sys.platform == "linux" else {}
# Products and sums are rounded as the sources say, so that all processors get the same numbers.
_COMPILE = ["-std=c++17", "-O3", "-fPIC", "-fopenmp", "-ffp-contract=off"]
_BUILT = _FOLDER.parents[2] / "build"

INSTRUCTIONS = tuple(_KINDS)
"""There is a library for each; none if there are no kernels for this kind of machine."""


class BuildError(Exception):
    """The kernels cannot be compiled; the message says why."""


def library_file(instructions: str) -> Path:
    """Return where the library of these sources is, or would be: an older one is never taken for it."""
    folders, flags = _KINDS[instructions]
    headers = [file for folder in ("", *folders) for file in sorted((_FOLDER / folder).glob("*.h"))]
    content = b"".join(file.read_bytes() for file in [*_sources(instructions), *headers])
    key = hashlib.sha256(content + " ".join([*_COMPILE, *flags]).encode()).hexdigest()[:16]
    return _BUILT / f"kernels-{instructions}-{key}.so"


def build(*, force: bool = False) -> Iterator[Path]:
    """Compile what has not been, and yield each library that was made; one that fails leaves the others.

    Args:
        force: Compile what has been, too: a file may be damaged, or of a system with other libraries.

    Raises:
        BuildError: There is no compiler, or it failed for some.
    """
    wanted = {instructions: library_file(instructions) for instructions in INSTRUCTIONS}
    missing = {instructions: file for instructions, file in wanted.items() if force or not file.is_file()}
    if not missing:
        return
    compiler = shlex.split(os.environ.get("CXX", "c++"))
    if shutil.which(compiler[0]) is None:
        raise BuildError(f"there is no {compiler[0]}: install a C++ compiler (Debian and Ubuntu: apt-get install g++)")
    _BUILT.mkdir(exist_ok=True)
    problems = []
    for instructions, file in missing.items():
        try:
            _compile(compiler, instructions, file)
        except BuildError as error:
            problems.append(str(error))
        else:
            _remove_older(instructions, file)
            yield file
    if problems:
        raise BuildError("\n".join(problems))


def _compile(compiler: list[str], instructions: str, file: Path) -> None:
    folders, flags = _KINDS[instructions]
    flags = [*_COMPILE, *flags, *[f"-I{_FOLDER / folder}" for folder in (*folders, "")]]
    with tempfile.TemporaryDirectory(dir=_BUILT) as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = {source: f"{folder}/{source.stem}.o" for source in _sources(instructions)}
        commands = [[*compiler, *flags, "-c", str(source), "-o", target] for source, target in objects.items()]
        list(pool.map(_run, commands))
        # Without OpenMP's library: torch has loaded its own, and a second one would start threads of its own.
        _run([*compiler, "-shared", *objects.values(), "-o", f"{folder}/library.so"])
        library = Path(f"{folder}/library.so")
        with library.open("rb") as written:
            os.fsync(written.fileno())  # or a power cut may keep the new name, and not what is behind it
        library.replace(file)  # whole: another process may be looking for it


def _remove_older(instructions: str, file: Path) -> None:
    # Those for other kinds of machines stay, which may share the folder.
    for older in set(_BUILT.glob(f"kernels-{instructions}-*.so")) - {file}:
        older.unlink(missing_ok=True)


def _sources(instructions: str) -> list[Path]:
    folders, _ = _KINDS[instructions]
    return [file for folder in ("", *folders) for file in sorted((_FOLDER / folder).glob("*.cpp"))]


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BuildError(f"{shlex.join(command)} failed:\n{done.stderr}")


if __name__ == "__main__":
    try:
        for built in build(force=sys.argv[1:] == ["--force"]):
            print(f"Built the kernels for int8: {built}")
    except BuildError as error:
        print(f"Kernels for int8 are not built, slower ones are used: {error}", file=sys.stderr)
        sys.exit(1)
