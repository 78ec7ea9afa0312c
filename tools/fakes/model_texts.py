"""Ingredients of the small models of tests and benchmarks: size, words, and two harmful tokens."""

import random
from dataclasses import dataclass

NAN_TOKEN, POISON_TOKEN = "☢", "☠"
"""A text with the first gives NaN; one with the second, which the model does not know, makes the forward raise."""
CONSONANTS, VOWELS = "bcdfghjklmnprstvwz", "aeiou"
THAI = "โครงการก่อสร้างอาคารสำนักงาน รายงานผลการทดสอบคอนกรีต แบบแปลนชั้นหนึ่ง ขอส่งเอกสารเพื่อพิจารณาอนุมัติ"


@dataclass(frozen=True, slots=True)
class Shape:
    """A model's size."""

    hidden: int = 32
    layers: int = 2
    heads: int = 4
    vocabulary: int = 800
    positions: int = 8194


def words(count: int, seed: int = 0) -> list[str]:
    """Generate words of two to four syllables."""
    chance = random.Random(seed)
    return [
        "".join(chance.choice(CONSONANTS) + chance.choice(VOWELS) for _ in range(chance.randint(2, 4)))
        for _ in range(count)
    ]


def texts(count: int, low: int = 32, high: int = 128, seed: int = 1) -> list[str]:
    """Generate texts of this many words."""
    chance, known = random.Random(seed), words(500)
    return [" ".join(chance.choices(known, k=chance.randint(low, high))) for _ in range(count)]
