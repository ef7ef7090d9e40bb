"""The table of languages and the ways into it."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import pytest

from pipelines.errors import UnknownLanguageError
from pipelines.text.languages import all_languages, find_language, own_codes, resolve_language


def test_table_has_exactly_the_tokenizers_languages() -> None:
    """Every language token of NLLB-200 has a row, and no row is without a token."""
    from transformers.models.nllb.tokenization_nllb import FAIRSEQ_LANGUAGE_CODES

    assert [each.code for each in all_languages()] == sorted(FAIRSEQ_LANGUAGE_CODES)
    assert len(all_languages()) == 202


def test_no_code_means_two_languages() -> None:
    """A code of a service or an alias stands in one row only."""
    claims = Counter(code for each in all_languages() for code in own_codes(each))
    assert [code for code, count in claims.items() if count > 1] == []


def test_every_code_of_a_row_resolves_to_the_row() -> None:
    """Each row is reached by each of its own codes."""
    for each in all_languages():
        assert {resolve_language(code).code for code in own_codes(each)} == {each.code}


def test_rows_are_complete() -> None:
    """Names, script and direction are there, and the direction is that of the script."""
    for each in all_languages():
        assert each.english_name, each
        assert each.native_name, each
        assert (each.direction == "rtl") == (each.script in {"Arab", "Hebr"}), each
        assert each.script == each.code[4:] or each.code == "sat_Beng"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("eng_Latn", "eng_Latn"),
        ("ENG-latn", "eng_Latn"),
        ("en", "eng_Latn"),
        ("EN", "eng_Latn"),
        ("en-US", "eng_Latn"),
        ("en_GB", "eng_Latn"),
        ("eng", "eng_Latn"),
        (" en ", "eng_Latn"),
        ("pt-BR", "por_Latn"),
        ("PT-PT", "por_Latn"),
        ("pb", "por_Latn"),
        ("fre", "fra_Latn"),
        ("ger", "deu_Latn"),
        ("zh", "zho_Hans"),
        ("zh-CN", "zho_Hans"),
        ("zh-Hans-CN", "zho_Hans"),
        ("cmn", "zho_Hans"),
        ("zho", "zho_Hans"),
        ("ZH-HANT", "zho_Hant"),
        ("zh-TW", "zho_Hant"),
        ("zh-Hant-HK", "zho_Hant"),
        ("zh-HK", "zho_Hant"),
        ("zt", "zho_Hant"),
        ("yue", "yue_Hant"),
        ("zh-yue", "yue_Hant"),
        ("no", "nob_Latn"),
        ("nb", "nob_Latn"),
        ("nn", "nno_Latn"),
        ("nor", "nob_Latn"),
        ("fa", "pes_Arab"),
        ("per", "pes_Arab"),
        ("fa-AF", "prs_Arab"),
        ("ar", "arb_Arab"),
        ("ar-EG", "arb_Arab"),
        ("ara", "arb_Arab"),
        ("arz", "arz_Arab"),
        ("sr", "srp_Cyrl"),
        ("sr-Cyrl-RS", "srp_Cyrl"),
        ("ku", "kmr_Latn"),
        ("ckb", "ckb_Arab"),
        ("ms", "zsm_Latn"),
        ("sq", "als_Latn"),
        ("iw", "heb_Hebr"),
        ("jw", "jav_Latn"),
        ("ks", "kas_Arab"),
        ("kas-Deva", "kas_Deva"),
        ("ks-Deva-IN", "kas_Deva"),
        ("kr", "knc_Latn"),
        ("kau-Arab", "knc_Arab"),
        ("ace", "ace_Latn"),
        ("hi", "hin_Deva"),
        ("hi-IN", "hin_Deva"),
        ("sw", "swh_Latn"),
        ("es-419", "spa_Latn"),
        ("tl", "tgl_Latn"),
        ("fil", "tgl_Latn"),
        ("ko-Kore", "kor_Hang"),
        ("de-1996", "deu_Latn"),
        ("sat-Olck", "sat_Beng"),
    ],
)
def test_common_codes(code: str, expected: str) -> None:
    """The codes people use resolve, and the ambiguous ones to the documented choice."""
    assert resolve_language(code).code == expected


@pytest.mark.parametrize(
    ("code", "nearest"),
    [
        ("englsh", "eng_Latn (English)"),
        ("Hindi", "hin_Deva"),
        ("sr-Latn", "srp_Cyrl"),
        ("eng_Lat", "eng_Latn"),
        ("deutsh", "deu_Latn"),
        ("spanish", "spa_Latn"),
    ],
)
def test_unknown_code_names_the_nearest(code: str, nearest: str) -> None:
    """A code that is nobody's is refused with the language that was probably meant, by code or by name."""
    with pytest.raises(UnknownLanguageError, match="unknown language") as refused:
        resolve_language(code, field="source_lang")
    assert nearest in refused.value.message
    assert refused.value.field == "source_lang"


@pytest.mark.parametrize("code", ["", " ", "-", "\x00", "q" * 1_000_000, "zz-zz-zz", "🙂", "hi-Latn", "sh"])
def test_nonsense_is_refused(code: str) -> None:
    """Nonsense of any length is refused with a short message."""
    with pytest.raises(UnknownLanguageError) as refused:
        resolve_language(code)
    assert len(refused.value.message) < 300


def test_import_is_light() -> None:
    """Reading the table loads neither torch nor transformers."""
    program = (
        "import sys, pipelines.text.languages as l; l.resolve_language('en'); "
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_code_that_is_none_is_found_to_be_none() -> None:
    """For those who ask of any word whether it is a code; what is one is the same language."""
    assert [find_language(code) for code in ("", "klingon", "sr-Thai", "e" * 1000)] == [None] * 4
    assert find_language("pt_BR") == resolve_language("pt")
