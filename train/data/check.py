"""Goes over parallel text once, finds what is wrong with it, and gives each pair its role.

Holds under 100 bytes per line in memory and no text, so that a file larger than memory can be checked.
"""

from __future__ import annotations

import hashlib
import socket
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import chain, islice

import numpy as np
import numpy.typing as npt

from pipelines.errors import StartupError
from train.data.columns import Line
from train.data.findings import DataReport, Finding, Found
from train.data.read import read_pairs
from train.data.scripts import is_written_in, script_letters
from train.data.split import is_held_out, text_hash
from train.errors import TrainingError

_LINES_PER_STEP = 1024
_CHARS_PER_TOKEN = 4
_RATIO_SLACK_CHARS = 15  # a greeting may double; only what is beyond this counts
_MIN_PAIRS_FOR_MEDIAN = 20


class Role(IntEnum):
    """What a pair is used for."""

    LEFT_OUT = 0
    TRAIN = 1
    DEV = 2
    SPARE = 3  # held out, beyond what is evaluated on: neither trained on nor looked at


@dataclass(frozen=True, slots=True)
class DataSource:
    """Parallel text of one language pair.

    Attributes:
        location: File, folder or URI; see `train.data.read`.
        source_lang: FLORES-200 code; None if nobody knows, which leaves the scripts unchecked.
        target_lang: Likewise.
        dev_location: Text to evaluate on; None holds a share of `location` out.
    """

    location: str
    source_lang: str | None
    target_lang: str | None
    dev_location: str | None = None

    def lines(self) -> Iterator[tuple[Line, bool]]:
        """Yield all lines in their one order, and whether each is of `dev_location`."""
        data = read_pairs(self.location, self.source_lang, self.target_lang)
        dev = read_pairs(self.dev_location, self.source_lang, self.target_lang) if self.dev_location else ()
        return chain(((line, False) for line in data), ((line, True) for line in dev))


@dataclass(frozen=True, slots=True)
class CheckedData:
    """Parallel text that was checked.

    Attributes:
        source: The text.
        report: What was found.
        roles: `Role` of each line, `[num_lines]` uint8, in the order of `source.lines()`.
    """

    source: DataSource
    report: DataReport
    roles: npt.NDArray[np.uint8]

    def pairs(self, role: Role) -> Iterator[tuple[str, str]]:
        """Read the text again and yield (source, target) of one role, stripped.

        Raises:
            TrainingError: Behind the last pair: the text is another one than was checked, so that the roles are not of
                these lines.
        """
        digest = hashlib.sha256()
        for place, (line, _) in enumerate(self.source.lines()):
            digest.update(_content(line))
            if place < len(self.roles) and self.roles[place] == role:
                yield line.source.strip(), line.target.strip()
        digest.update(self.roles.tobytes())
        if digest.hexdigest() != self.report.fingerprint:
            raise TrainingError(
                f"{self.source.location} on {socket.gethostname()} is not what was checked: it was changed meanwhile, "
                "or this machine has another file there; start again once nobody writes to it"
            )


CountTokens = Callable[[Sequence[str], str | None], list[int]]
"""Texts of one language to their numbers of tokens as the model reads them."""


def check_data(
    source: DataSource,
    *,
    dev_ratio: float,
    max_tokens: int,
    max_length_ratio: float,
    max_dev_pairs: int | None = None,
    count_tokens: CountTokens | None = None,
    kept_out: Iterable[tuple[str, str]] = (),
) -> CheckedData:
    """Check every line.

    Args:
        source: What to read.
        dev_ratio: Share that is held out where the source names no dev text.
        max_tokens: The longest side.
        max_length_ratio: How many times the median a pair's ratio of lengths may be, or its inverse.
        max_dev_pairs: Of more held-out pairs than this, those with the lowest hashes are evaluated on.
        count_tokens: The model's tokenizer; None estimates tokens by characters.
        kept_out: Other pairs that the model will be judged by, and must not be trained on.

    Raises:
        StartupError: There is nothing to read, or it was changed during the check.
    """
    return _Check(source, dev_ratio, max_tokens, max_length_ratio, max_dev_pairs, count_tokens, kept_out).run()


class _Check:
    def __init__(
        self,
        source: DataSource,
        dev_ratio: float,
        max_tokens: int,
        max_length_ratio: float,
        max_dev_pairs: int | None,
        count_tokens: CountTokens | None,
        kept_out: Iterable[tuple[str, str]],
    ) -> None:
        self._source = source
        self._dev_ratio = dev_ratio
        self._max_tokens = max_tokens
        self._max_length_ratio = max_length_ratio
        self._max_dev_pairs = max_dev_pairs
        self._count_tokens = count_tokens or _estimate_tokens
        self._length_unit = "tokens" if count_tokens else "characters"
        hashes = [(text_hash(one), text_hash(other)) for one, other in kept_out]
        self._kept_out = np.array(hashes, dtype=np.uint64).reshape(-1, 2)
        self._scripts = [script_letters(code) for code in (source.source_lang, source.target_lang)]
        self._found: dict[Finding, Found] = {}
        self._digest = hashlib.sha256()
        # One entry per line; what is wrong with the line itself has a role of LEFT_OUT already.
        self._roles = array("B")
        self._pair_hashes, self._source_hashes, self._target_hashes = array("Q"), array("Q"), array("Q")
        self._ratios = array("f")
        self._of_dev_file = array("B")

    def run(self) -> CheckedData:
        lines = iter(self._source.lines())
        while step := list(islice(lines, _LINES_PER_STEP)):
            self._check_lines(step)
        roles = np.array(self._roles, dtype=np.uint8)
        self._check_all(roles)
        self._bound_dev(roles)
        self._digest.update(roles.tobytes())
        report = DataReport(
            location=self._source.location,
            num_lines=len(roles),
            num_train=int((roles == Role.TRAIN).sum()),
            num_dev=int((roles == Role.DEV).sum()),
            found={kind: self._found[kind] for kind in Finding if kind in self._found},
            fingerprint=self._digest.hexdigest(),
            length_unit=self._length_unit,
        )
        return CheckedData(self._source, report, roles)

    def _check_lines(self, step: Sequence[tuple[Line, bool]]) -> None:
        """Find what can be seen in a line alone."""
        lengths = zip(
            self._count_tokens([line.source for line, _ in step], self._source.source_lang),
            self._count_tokens([line.target for line, _ in step], self._source.target_lang),
            strict=True,
        )
        for (line, is_dev), num_tokens in zip(step, lengths, strict=True):
            finding = line.problem or self._finding(line, max(num_tokens))
            source_hash = text_hash(line.source)
            held_out = is_dev if self._source.dev_location else is_held_out(source_hash, self._dev_ratio)
            if finding:
                self._note(finding, line)
            self._digest.update(_content(line))
            self._roles.append(Role.LEFT_OUT if finding else Role.DEV if held_out else Role.TRAIN)
            self._pair_hashes.append(text_hash(line.source, line.target))
            self._source_hashes.append(source_hash)
            self._target_hashes.append(text_hash(line.target))
            self._ratios.append((len(line.target) + _RATIO_SLACK_CHARS) / (len(line.source) + _RATIO_SLACK_CHARS))
            self._of_dev_file.append(is_dev)

    def _finding(self, line: Line, num_tokens: int) -> Finding | None:
        if not line.source.strip() or not line.target.strip():
            return Finding.EMPTY
        if line.source.strip() == line.target.strip():
            return Finding.COPY
        if not all(map(is_written_in, (line.source, line.target), self._scripts)):
            return Finding.SCRIPT
        return Finding.TOO_LONG if num_tokens > self._max_tokens else None

    def _check_all(self, roles: npt.NDArray[np.uint8]) -> None:
        """Find what can be seen against the other lines alone, and take those lines' roles away."""
        late = np.zeros(len(roles), dtype=np.uint8)
        kinds = (Finding.LENGTH_RATIO, Finding.DUPLICATE, Finding.IN_DEV)
        for number, (kind, find) in enumerate(
            zip(kinds, (self._outliers, self._duplicates, self._in_dev), strict=True), 1
        ):
            bad = find(roles)
            late[bad] = number
            roles[bad] = Role.LEFT_OUT
            if len(bad):
                self._found[kind] = Found()
        if late.any():
            try:
                for (line, _), number in zip(self._source.lines(), late, strict=True):
                    if number:
                        self._note(kinds[number - 1], line)
            except ValueError:
                raise StartupError(
                    f"{self._source.location} was changed while it was checked: start again once nobody writes to it",
                    field="data_file",
                ) from None

    def _outliers(self, roles: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
        used = np.flatnonzero(roles)
        ratios = np.frombuffer(self._ratios, dtype=np.float32)[used] if len(used) else np.empty(0, np.float32)
        median = np.median(ratios) if len(ratios) >= _MIN_PAIRS_FOR_MEDIAN else 1.0
        return used[np.abs(np.log(ratios / median)) > np.log(self._max_length_ratio)]

    def _duplicates(self, roles: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
        used = np.flatnonzero(roles)
        hashes = np.array(self._pair_hashes, dtype=np.uint64)[used]
        # Lines of the dev file are no duplicates of the data's; that they are in both is another finding.
        files = np.array(self._of_dev_file, dtype=np.uint64)[used]
        _, first = np.unique(hashes ^ files, return_index=True)
        return np.delete(used, first)

    def _in_dev(self, roles: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
        train, dev = roles == Role.TRAIN, roles == Role.DEV
        leaks = np.zeros(len(roles), dtype=bool)
        for hashes, others in zip((self._source_hashes, self._target_hashes), self._kept_out.T, strict=True):
            side = np.array(hashes, dtype=np.uint64)
            leaks |= train & np.isin(side, np.concatenate([side[dev], others]))
        return np.flatnonzero(leaks)

    def _bound_dev(self, roles: npt.NDArray[np.uint8]) -> None:
        if self._max_dev_pairs is None:
            return
        dev = np.flatnonzero(roles == Role.DEV)
        by_hash = np.argsort(np.array(self._source_hashes, dtype=np.uint64)[dev], kind="stable")
        roles[dev[by_hash[self._max_dev_pairs :]]] = Role.SPARE

    def _note(self, finding: Finding, line: Line) -> None:
        text = f"{line.source} | {line.target}" if line.target else line.source
        self._found.setdefault(finding, Found()).add(line.file, line.number, text)


def _content(line: Line) -> bytes:
    return f"{line.source}\t{line.target}\n".encode()


def _estimate_tokens(texts: Sequence[str], _language: str | None) -> list[int]:
    return [len(text) // _CHARS_PER_TOKEN for text in texts]
