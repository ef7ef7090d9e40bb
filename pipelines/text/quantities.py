"""Are the numbers, dates, amounts of money and units of a source those of its translation? Compares; knows no language.

What a translation may write in another way is no change: what groups digits, other digits, a date from the year or from
the day on, a currency or a unit as a word.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import regex

from pipelines.types import Notice

_DIGIT = regex.compile(r"\p{Nd}")
# Digits with marks between them are one number only where the mark groups or begins decimals. A space groups behind
# three digits at most: `2019 100` are two numbers.
_NUMBER = regex.compile(
    r"(?:\p{Nd}{1,3}(?:[ \u00a0\u202f]\p{Nd}{3}(?!\p{Nd}))++|\p{Nd}++(?:[.,'’٫٬]\p{Nd}++)*+)(?:[.,٫]\p{Nd}++)?+"
)
_DATE = regex.compile(
    r"(?<![\p{Nd}./\-])(?:(\p{Nd}{4})([./\-])(\p{Nd}{1,2})\2(\p{Nd}{1,2})|(\p{Nd}{1,2})([./\-])(\p{Nd}{1,2})\6(\p{Nd}{4}))"
    r"(?![./\-]?\p{Nd})"
)
# By its sign, the currencies that it may mean.
_CURRENCIES = {
    "$": "USD AUD CAD HKD MXN NZD SGD", "¥": "JPY CNY", "￥": "JPY CNY", "€": "EUR", "£": "GBP", "₹": "INR", "₽": "RUB",
    "₩": "KRW", "₺": "TRY", "₫": "VND", "₪": "ILS", "₴": "UAH", "₦": "NGN", "₱": "PHP", "฿": "THB", "₸": "KZT",
    "": "CHF BRL PLN SEK NOK DKK CZK HUF ZAR",
}  # fmt: skip
_CODES = "|".join(dict.fromkeys(" ".join(_CURRENCIES.values()).split()))
# Next to a number a code is a currency; elsewhere it may be anything.
_CURRENCY = regex.compile(
    r"(?P<sign>[$€£¥￥₹₽₩₺₫₪₴₦₱฿₸])"
    rf"|(?<![\p{{L}}\p{{N}}])(?P<code>{_CODES})(?=\s?\p{{Nd}})|(?<=\p{{Nd}}\s?)(?P<code>{_CODES})(?!\p{{L}})"
)
_UNITS = {
    "%": "%", "٪": "%", "％": "%", "‰": "‰", "°C": "°C", "℃": "°C", "°F": "°F", "℉": "°F",
    "km/h": "km/h", "км/ч": "km/h", "mph": "mph", "km": "km", "км": "km", "m": "m", "м": "m", "cm": "cm", "см": "cm",
    "mm": "mm", "мм": "mm", "µm": "µm", "μm": "µm", "mi": "mi", "ft": "ft", "yd": "yd", "km²": "km²", "m²": "m²",
    "kg": "kg", "кг": "kg", "g": "g", "г": "g", "mg": "mg", "мг": "mg", "µg": "µg", "μg": "µg", "mcg": "µg", "lb": "lb",
    "lbs": "lb", "oz": "oz", "t": "t", "т": "t", "l": "l", "L": "l", "л": "l", "ml": "ml", "mL": "ml", "мл": "ml",
    "kW": "kW", "кВт": "kW", "MW": "MW", "W": "W", "V": "V", "kWh": "kWh", "kcal": "kcal", "kJ": "kJ",
    "Hz": "Hz", "kHz": "kHz", "MHz": "MHz", "GHz": "GHz", "kB": "kB", "MB": "MB", "GB": "GB", "TB": "TB",
    "mmHg": "mmHg",
}  # fmt: skip
_UNIT_NAMES = "|".join(sorted(map(regex.escape, _UNITS), key=len, reverse=True))
_UNIT = regex.compile(rf"[ \u00a0\u202f]?(?P<unit>{_UNIT_NAMES})(?![\p{{L}}\p{{N}}/²'’])")


def check_quantities(source: str, output: str) -> Iterator[Notice]:
    """Name what differs between a source and its translation."""
    if not (_DIGIT.search(source) or _DIGIT.search(output)):
        return
    yield from _numbers(source, output)
    yield from _currencies(source, output)
    yield from _units(source, output)


def _numbers(source: str, output: str) -> Iterator[Notice]:
    dates, dates_after = Counter(_dates(source)), Counter(_dates(output))
    common = dates & dates_after
    before, after = Counter(_digits(_without(source, common))), Counter(_digits(_without(output, common)))
    if before != after:
        lost, new = sorted((before - after).elements()), sorted((after - before).elements())
        yield Notice("numbers_changed", f"numbers of the source {lost} are {new} in the output")
    elif dates != dates_after:
        # The same numbers in another order: another day.
        lost, new = sorted((dates - dates_after).elements()), sorted((dates_after - dates).elements())
        yield Notice("numbers_changed", f"dates of the source {lost} are {new} in the output")


def _dates(text: str) -> Iterator[str]:
    for found in _DATE.finditer(text):
        yield _date(found)


def _date(found: regex.Match[str]) -> str:
    """With the year behind, as ASCII; which of the others is the day is not known, and not changed."""
    year, _, second, third = found.group(1, 2, 3, 4)
    parts = (third, second, year) if year else found.group(5, 7, 8)
    return "/".join(str(int(part)) for part in parts)


def _without(text: str, dates: Counter[str]) -> str:
    return _DATE.sub(lambda found: " " if _date(found) in dates else found.group(), text)


def _digits(text: str) -> Iterator[str]:
    """The digits of each number, without what groups them and in ASCII: separators differ between languages."""
    for number in _NUMBER.findall(text):
        yield _ascii_digits(number)


def _ascii_digits(number: str) -> str:
    return "".join(str(int(char)) for char in number if char.isdecimal())


def _currencies(source: str, output: str) -> Iterator[Notice]:
    before, after = set(_named_currencies(source)), set(_named_currencies(output))
    if before and any(not set(new.split()) & set(" ".join(before).split()) for new in after):
        yield Notice("currency_changed", f"currencies of the source {sorted(before)} are {sorted(after)} in the output")


def _named_currencies(text: str) -> Iterator[str]:
    for found in _CURRENCY.finditer(text):
        yield _CURRENCIES[found["sign"]] if found["sign"] else found["code"]


def _units(source: str, output: str) -> Iterator[Notice]:
    before, after = _measures(source), _measures(output)
    for number in before.keys() & after.keys():
        if after[number] - before[number]:
            was, became = ", ".join(sorted(before[number])), ", ".join(sorted(after[number]))
            yield Notice("unit_changed", f"{number} {was} of the source is {number} {became} in the output")


def _measures(text: str) -> dict[str, set[str]]:
    """The units of each number that has one."""
    measures: dict[str, set[str]] = {}
    for number in _NUMBER.finditer(text):
        found = _UNIT.match(text, number.end())
        if found is not None:
            measures.setdefault(_ascii_digits(number.group()), set()).add(_UNITS[found["unit"]])
    return measures
