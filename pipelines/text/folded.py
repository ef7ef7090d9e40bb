"""Where does a phrase stand in a text, whatever its case and its white space? Knows characters alone, no words."""

from __future__ import annotations

from collections.abc import Iterator

# Whether a dot is on an i depends on the language, which is not known here.
_FOLDED_I = {"İ": "i", "ı": "i"}


class FoldedText:
    """A text that is folded once and searched often: compiling a pattern costs more than many searches."""

    def __init__(self, text: str) -> None:
        folded: list[str] = []
        self._origins: list[int] = []  # of each folded character, in the text
        for place, char in enumerate(text):
            if char.isspace():
                if folded and folded[-1] == " ":
                    continue
                folds = " "
            else:
                folds = _fold(char)
            folded += folds
            self._origins += [place] * len(folds)
        self._origins.append(len(text))
        self._folded = "".join(folded)

    def find(self, phrase: str) -> Iterator[tuple[int, int]]:
        """All places of a phrase that has no white space at its ends, in order; they may overlap."""
        wanted = " ".join("".join(map(_fold, word)) for word in phrase.split())
        start = self._folded.find(wanted)
        while start >= 0:
            end = start + len(wanted)
            if self._is_between(start) and self._is_between(end):
                yield self._origins[start], self._origins[end]
            start = self._folded.find(wanted, start + 1)

    def _is_between(self, place: int) -> bool:
        """Whether a character begins there: a folded one may be several, as `ß` is."""
        return place == 0 or self._origins[place] != self._origins[place - 1]


def _fold(char: str) -> str:
    return _FOLDED_I.get(char) or char.casefold()
