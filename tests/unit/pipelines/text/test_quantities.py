"""Numbers, dates, currencies and units of a source and of its translation."""

from __future__ import annotations

import pytest

from pipelines.text.quantities import check_quantities


def codes(source: str, output: str) -> list[str]:
    """The codes of what differs."""
    return [each.code for each in check_quantities(source, output)]


@pytest.mark.parametrize(
    ("source", "output"),
    [
        ("On 2024-03-12 we met.", "Nos vimos el 12.03.2024."),
        ("On 5/3/2024.", "El 05/03/2024."),
        ("Le 12/03/2024.", "१२/०३/२०२४ को।"),
        ("Version 1.10.2 is out.", "Ya está la versión 1.10.2."),
        ("It costs $1,234.50.", "Cuesta 1.234,50 dólares."),
        ("It costs 20 dollars.", "Cuesta $20."),
        ("It costs €20.", "Cuesta 20 EUR."),
        ("It costs 20 CAD.", "Cuesta $20."),
        ("¥20", "20 CNY"),
        ("5 kg and 3 km.", "5 кг и 3 км."),
        ("Take 5 mg.", "Tome 5 miligramos."),
        ("20% off", "२०٪ की छूट"),
        ("It is 20 °C.", "Il fait 20 °C."),
        ("Row 5 m", "5 l'eau m"),
        ("In 2019 100 people came.", "100 personas vinieron en 2019."),
        ("It has 1 234 567,8 m.", "It has 1,234,567.8 m."),
        ("CAD drawings of 5 USD", "Dibujos CAD de 5 USD"),
    ],
)
def test_the_same_in_other_words_is_no_change(source: str, output: str) -> None:
    """Separators, digits of another script, a year in front or behind, and units and currencies as words."""
    assert codes(source, output) == []


@pytest.mark.parametrize(
    ("source", "output", "code"),
    [
        ("On 12/03/2024.", "El 03/12/2024.", "numbers_changed"),
        ("On 2024-03-12.", "El 12.03.2042.", "numbers_changed"),
        ("Between 1/2/2024 and 3/4/2024.", "Entre 1/4/2024 y 3/2/2024.", "numbers_changed"),
        ("At 18.10 we leave.", "Salimos a las 18h10.", "numbers_changed"),
        ("Two of 5.", "Dos de 6.", "numbers_changed"),
        ("It costs $20.", "Cuesta 20 €.", "currency_changed"),
        ("It costs 20 USD.", "Cuesta £20.", "currency_changed"),
        ("It costs 20 CAD.", "Cuesta 20 USD.", "currency_changed"),
        ("Take 5 mg.", "Tome 5 g.", "unit_changed"),
        ("It weighs 5 kg.", "Pesa 5 lb.", "unit_changed"),
        ("It weighs 5kg.", "Это весит 5 г.", "unit_changed"),
        ("At 60 mph.", "A 60 km/h.", "unit_changed"),
        ("It is 20 °F.", "Il fait 20 ℃.", "unit_changed"),
    ],
)
def test_a_change_has_its_code(source: str, output: str, code: str) -> None:
    """What means something else is named, once."""
    assert codes(source, output) == [code]
