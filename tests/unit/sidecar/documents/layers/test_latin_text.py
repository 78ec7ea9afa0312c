"""Words of some language are told from letters of a wrong font map, and text from noise."""

import string

import pytest

from sidecar.documents.layers import latin_text

ENGLISH = (
    "Purchase order dated March deliver to warehouse number seven twelve boxes of copper pipe four valves "
    "payment is due within thirty days of receipt signed by the manager of the harbour office telephone reference"
)
OTHERS = [
    (
        "Die Bestellung wird innerhalb von dreißig Tagen nach Erhalt der Rechnung bezahlt, sofern nichts anderes "
        "vereinbart wurde; Lieferung an das Lagerhaus Nummer sieben, zwölf Kisten mit Kupferrohren und vier Ventile"
    ),
    (
        "Le paiement est exigible dans les trente jours suivant la réception de la facture, livraison à l'entrepôt "
        "numéro sept, douze caisses de tuyaux en cuivre et quatre vannes, signé par le directeur du bureau du port"
    ),
    (
        "Zapłata następuje w ciągu trzydziestu dni od otrzymania faktury, dostawa do magazynu numer siedem, dwanaście "
        "skrzynek rur miedzianych oraz cztery zawory, podpisano przez kierownika biura portowego"
    ),
    "Maksu suoritetaan kolmenkymmenen päivän kuluessa laskun vastaanottamisesta, toimitus varastoon numero seitsemän",
]
TABLES = [
    "KX-9921 48213/A 12x35.50 QWZ77 B2CXD RFA-2025-0815 1N4148 BC547B " * 10,
    "XXXXXXXX XXXXXX 111111 ........ ------- " * 10,
    "short text",
    "",
]


def shifted(text, by):
    lower, upper = string.ascii_lowercase, string.ascii_uppercase
    to = lower[by:] + lower[:by] + upper[by:] + upper[:by]
    return text.translate(str.maketrans(lower + upper, to))


@pytest.mark.parametrize("by", range(1, 26))
def test_a_shifted_alphabet_is_no_language(by):
    assert latin_text.is_implausible(shifted(ENGLISH, by))
    assert latin_text.is_implausible(shifted(ENGLISH.upper(), by))


@pytest.mark.parametrize("text", [ENGLISH, ENGLISH.upper(), *OTHERS, *TABLES])
def test_languages_tables_and_codes_are_left_alone(text):
    assert not latin_text.is_implausible(text)


def test_punctuation_and_strokes_are_noise_and_words_and_figures_are_not():
    assert latin_text.is_noise("lll1 I1| ~~ ,,. ;; 'I-l iI. _ = ~ ^ .. , ' ` ~ i l I | !! l1l\n" * 18)
    assert not latin_text.is_noise(ENGLISH)
    assert not latin_text.is_noise("Total 1,525.82 THB 4417 11111 ที่นี่ทำงาน")
