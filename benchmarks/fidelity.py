"""What comes back of a text when the model changes nothing? Everything, or the text path has lost it.

    python -m benchmarks.fidelity [--json] [--mint CHECKOUT] [--libretranslate CHECKOUT] [--peer-python PYTHON]

Runs the table of hard cases (tests/data/fidelity.json) through all stages with the identity engine, and through the
text functions of other servers where a checkout of them is given: MinT (`wikimedia/machinetranslation`) and
LibreTranslate (a checkout of `argos-translate`, with `translatehtml` installed). A case passes if it comes back byte
for byte. A second table, of what must survive a model that loses what it does not understand, is run for this project
alone: the peers do not protect it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from pipelines.engine.identity import IdentityEngine
from pipelines.protocols import SegmentTranslator
from pipelines.station import EngineStation
from pipelines.translate import TranslationPipeline
from pipelines.types import DecodingOptions, Outcome, Segment, Translation, TranslationRequest

_CASES = Path(__file__).parent.parent / "tests" / "data" / "fidelity.json"
_PEERS = ("mint", "libretranslate")
_STRONG = DecodingOptions(num_beams=4, no_repeat_ngram_size=4)


def main() -> int:
    """Run the tables; the exit status is 1 if this project fails a case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--peer-python", default=sys.executable, help="interpreter with the peers' libraries")
    for peer in _PEERS:
        parser.add_argument(f"--{peer}", type=Path, metavar="CHECKOUT", help="skipped if it is not given")
    arguments = parser.parse_args()
    cases: dict[str, list[dict[str, Any]]] = json.loads(_CASES.read_text(encoding="utf-8"))
    round_trip = cases["round_trip"]
    results = {"ours": [case["text"] == output for case, output in zip(round_trip, ours(round_trip), strict=True)]}
    for peer in _PEERS:
        checkout = getattr(arguments, peer)
        if checkout is not None:
            results[peer] = _peer(peer, checkout, arguments.peer_python, round_trip)
    report = {
        "round_trip": [
            {"name": case["name"], "format": case["format"], **{who: passed[i] for who, passed in results.items()}}
            for i, case in enumerate(round_trip)
        ],
        "survival": [{"name": case["name"], "ours": survives(case)} for case in cases["survival"]],
        "passed": {
            who: f"{sum(map(bool, passed))} of {sum(p is not None for p in passed)}" for who, passed in results.items()
        },
    }
    print(json.dumps(report, ensure_ascii=False, indent=1) if arguments.json else _table(report))
    return 0 if all(row["ours"] for row in [*report["round_trip"], *report["survival"]]) else 1  # type: ignore[index]


def ours(cases: list[dict[str, Any]]) -> list[str]:
    """What comes back of each case from the identity engine, through all stages."""
    return [_translate(case, EngineStation(IdentityEngine())) for case in cases]


def survives(case: dict[str, Any]) -> bool:
    """Whether what must not change is there as often as in the source, though the model loses it."""
    output = _translate(case, _ForgetfulStation())
    return all(output.count(kept) == case["text"].count(kept) for kept in case["kept"])


class _ForgetfulStation:
    """Keeps plain words alone, in upper case: a model that understands nothing else."""

    async def translate(self, segments: list[Segment]) -> list[Outcome]:
        """See `SegmentTranslator`."""
        return [
            Translation(" ".join(word.upper() for word in segment.text.split() if word.strip(".,;:!?").isalpha()))
            for segment in segments
        ]


def _translate(case: dict[str, Any], station: SegmentTranslator) -> str:
    request = TranslationRequest(
        case["text"],
        case.get("source_lang", "eng_Latn"),
        case.get("target_lang", "spa_Latn"),
        format=case["format"],
        second_try=_STRONG,
    )
    return asyncio.run(TranslationPipeline(station).translate(request)).text


def _peer(name: str, checkout: Path, python: str, cases: list[dict[str, Any]]) -> list[bool | None]:
    """Whether each case comes back from a peer; None where it has no such format."""
    script = Path(__file__).with_name("fidelity_peers.py")
    done = subprocess.run(
        [python, str(script), name],
        cwd=checkout,
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(f"{name} cannot be run: {done.stderr.strip().splitlines()[-1]}")
    outputs = json.loads(done.stdout)
    return [None if output is None else output == case["text"] for case, output in zip(cases, outputs, strict=True)]


def _table(report: dict[str, Any]) -> str:
    marks = {True: "pass", False: "FAIL", None: "-"}
    who = list(report["passed"])
    lines = [f"{'format':9} {'case':44} " + " ".join(f"{each:14}" for each in who)]
    for row in report["round_trip"]:
        lines.append(f"{row['format']:9} {row['name']:44} " + " ".join(f"{marks[row[each]]:14}" for each in who))
    for row in report["survival"]:
        lines.append(f"{'survival':9} {row['name']:44} {marks[row['ours']]}")
    return "\n".join([*lines, *(f"{each}: {count}" for each, count in report["passed"].items())])


if __name__ == "__main__":
    sys.exit(main())
