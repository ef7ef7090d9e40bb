"""Which letters belong to which script? By the scripts of FLORES-200 codes, such as `Deva` in `hin_Deva`."""

from __future__ import annotations

# Character classes of the `regex` package. Those of Chinese and Japanese are sets of Unicode's scripts.
SCRIPT_CLASSES = {
    "Arab": r"\p{Arabic}", "Armn": r"\p{Armenian}", "Beng": r"\p{Bengali}", "Cyrl": r"\p{Cyrillic}",
    "Deva": r"\p{Devanagari}", "Ethi": r"\p{Ethiopic}", "Geor": r"\p{Georgian}", "Grek": r"\p{Greek}",
    "Gujr": r"\p{Gujarati}", "Guru": r"\p{Gurmukhi}", "Hang": r"[\p{Hangul}\p{Han}]", "Hans": r"\p{Han}",
    "Hant": r"[\p{Han}\p{Bopomofo}]", "Hebr": r"\p{Hebrew}", "Jpan": r"[\p{Han}\p{Hiragana}\p{Katakana}]",
    "Khmr": r"\p{Khmer}", "Knda": r"\p{Kannada}", "Laoo": r"\p{Lao}", "Latn": r"\p{Latin}",
    "Mlym": r"\p{Malayalam}", "Mymr": r"\p{Myanmar}", "Olck": r"[\p{Ol_Chiki}\p{Bengali}]", "Orya": r"\p{Oriya}",
    "Sinh": r"\p{Sinhala}", "Taml": r"\p{Tamil}", "Telu": r"\p{Telugu}", "Tfng": r"\p{Tifinagh}",
    "Thai": r"\p{Thai}", "Tibt": r"\p{Tibetan}",
}  # fmt: skip
