"""Where the engine's time goes: PyTorch's operators as a trace, Python's stacks as a flame graph.

Of a process that is at work: everything on all threads is recorded for some seconds. In a replica the service asks for
it; offline it is `python -m pipelines.engine.profile`, which keeps the configured engine busy meanwhile:

    python -m pipelines.engine.profile --seconds 5 --rows 16 --out profile/
"""

from __future__ import annotations

import argparse
import gzip
import io
import sys
import tempfile
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import torch
from torch.profiler import ProfilerActivity, profile

from configs.errors import ConfigError
from pipelines.engine.flame_graph import Stack, flame_graph
from pipelines.errors import TranslationError
from pipelines.protocols import EncodedSegment, Engine

_SAMPLE_INTERVAL_S = 0.005
_MAX_SECONDS = 60.0  # what the profiler keeps in memory grows with it
_TABLE_ROWS = 40


@dataclass(frozen=True, slots=True)
class Profile:
    """What was recorded.

    Attributes:
        trace: Chrome's trace format in JSON, for https://ui.perfetto.dev.
        operators: PyTorch's operators by the time they took, as a table.
        stacks: How often each stack of Python was seen; the outermost frame first.
        flame_graph: The stacks as an SVG.
    """

    trace: bytes
    operators: str
    stacks: Counter[Stack]
    flame_graph: str

    def write(self, folder: Path) -> None:
        """Write `trace.json.gz`, `operators.txt` and `flame_graph.svg`."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in self._files().items():
            (folder / name).write_bytes(content)

    def zipped(self) -> bytes:
        """Return the same files as one archive."""
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as files:
            for name, content in self._files().items():
                files.writestr(name, content)
        return archive.getvalue()

    def _files(self) -> dict[str, bytes]:
        return {
            "trace.json.gz": gzip.compress(self.trace, compresslevel=6),
            "operators.txt": self.operators.encode(),
            "flame_graph.svg": self.flame_graph.encode(),
        }


def record(seconds: float) -> Profile:
    """Record this process for so long, on all threads but the caller's. Blocks; one at a time in a process."""
    activities = [ProfilerActivity.CPU]
    if torch.cuda.is_available():
        activities.append(ProfilerActivity.CUDA)
    # The engine computes in a thread of its own, which a profiler does not see by default.
    all_threads = torch.profiler._ExperimentalConfig(profile_all_threads=True)  # type: ignore[attr-defined]
    with profile(activities=activities, experimental_config=all_threads) as recorded:
        stacks = _sample_stacks(seconds)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "trace.json"
        recorded.export_chrome_trace(str(file))
        trace = file.read_bytes()
    return Profile(
        trace=trace,
        operators=recorded.key_averages().table(sort_by="self_cpu_time_total", row_limit=_TABLE_ROWS),
        stacks=stacks,
        flame_graph=flame_graph(stacks, f"{seconds:g} s, a sample every {_SAMPLE_INTERVAL_S * 1000:g} ms"),
    )


def _sample_stacks(seconds: float) -> Counter[Stack]:
    """Look at all threads again and again; a thread that waits is seen waiting."""
    stacks: Counter[Stack] = Counter()
    own = threading.get_ident()
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        names = {thread.ident: thread.name for thread in threading.enumerate()}
        for ident, frame in sys._current_frames().items():
            if ident != own:
                stacks[(names.get(ident, "thread"), *_frames(frame))] += 1
        time.sleep(_SAMPLE_INTERVAL_S)
    return stacks


def _frames(innermost: FrameType) -> list[str]:
    frames: list[str] = []
    frame: FrameType | None = innermost
    while frame is not None:
        code = frame.f_code
        frames.append(f"{code.co_qualname} ({Path(code.co_filename).name}:{code.co_firstlineno})")
        frame = frame.f_back
    return frames[::-1]


def main(arguments: Sequence[str] | None = None) -> int:
    """Profile the configured engine at work; return the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.rows < 1 or not 0 < options.seconds <= _MAX_SECONDS:
        parser.error(f"--rows should be at least 1, and --seconds over 0 and at most {_MAX_SECONDS:g}")
    from configs.loader import load_settings
    from pipelines.engine.configured import load_configured_engine

    try:
        engine = load_configured_engine(load_settings())
    except (TranslationError, ConfigError) as error:
        parser.error(str(error))
    stop = threading.Event()
    worker = threading.Thread(target=_keep_busy, args=(engine, options.rows, options.text, stop), name="client")
    worker.start()
    try:
        recorded = record(options.seconds)
    finally:
        stop.set()
        worker.join()
        engine.close()
    recorded.write(options.out)
    print(recorded.operators)
    print(f"{options.out}/flame_graph.svg opens in a browser, {options.out}/trace.json.gz in https://ui.perfetto.dev")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.engine.profile", description="Profile the configured engine at work."
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="how long (default 5)")
    parser.add_argument("--rows", type=int, default=16, help="rows that are decoded at the same time (default 16)")
    parser.add_argument("--text", default="Good morning. Where is the station?", help="what is translated")
    parser.add_argument("--out", type=Path, default=Path("profile"), help="folder of the result (default profile/)")
    return parser


def _keep_busy(engine: Engine, num_rows: int, text: str, stop: threading.Event) -> None:
    from pipelines.types import Segment

    languages = engine.info.languages
    segment = Segment(text, languages[0], languages[-1])
    rows = [row for row in engine.encode([segment] * num_rows) if isinstance(row, EncodedSegment)]
    while not stop.is_set():
        for future in engine.submit(rows):
            future.result()


if __name__ == "__main__":
    sys.exit(main())
