"""What the files of a folder of difficult inputs should give, by the start of their names. The folder is not ours.

Of other people's files among them only what holds for all Thai text is asked.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from bench.quality.arithmetic import normal

ENGLISH = (
    "Purchase order 48213 dated 14 March 2024",
    "Deliver to warehouse number seven, Bangkok",
    "Twelve boxes of copper pipe, four valves",
    "Payment is due within thirty days of receipt",
    "Signed by the manager of the harbour office",
    "Telephone 02 555 0147, reference KX-9921",
)
THAI = (
    "หนังสือสัญญาจ้างเหมาก่อสร้างอาคาร",
    "ผู้รับจ้างต้องทำงานให้แล้วเสร็จตามกำหนด",
    "กำหนดชำระเงินภายในสามสิบวันนับแต่วันที่ได้รับ",
    "น้ำประปาและไฟฟ้าเป็นหน้าที่ของผู้ว่าจ้าง",
    "คณะกรรมการตรวจรับพัสดุประจำโครงการนี้",
    "สำนักงานเขตพื้นที่กรุงเทพมหานครฝ่ายโยธา",
)
NUMBERED = tuple(f"{line:02d} {ENGLISH[line % 6]}" for line in range(24))
SCREENS = tuple(f"{line:03d} {ENGLISH[(line - 1) % 6][:30].rstrip()}" for line in range(1, 161))
STRAY_MARK = re.compile("(?:^|\\s)[\u0e31\u0e34-\u0e3a\u0e47-\u0e4e]|([\u0e31\u0e34-\u0e3a\u0e47-\u0e4e])\\1")


@dataclass(frozen=True)
class Wanted:
    """Lines that the answer must hold, so many times each, and what else must be true of it."""

    lines: tuple[str, ...] = ENGLISH
    times: int = 1
    warnings: tuple[str, ...] = ()
    absent: str | None = None
    code: str | None = None
    """The error that is right; then there is no text."""
    pages: int = 1

    def problems(self, pages: Collection[str], codes: Collection[str]) -> Iterator[str]:
        """Tell what is wrong with an answer: its pages' texts, the codes of its warnings, and of its error."""
        missing = {self.code} if self.code else set(self.warnings)
        yield from (f"without {code}" for code in sorted(missing - set(codes)))
        if self.code:
            return
        whole = "\n\n".join(pages)
        text = normal(whole)
        yield from (f"lacks {line}" for line in self.lines if text.count(normal(line)) < self.times)
        if len(pages) != self.pages:
            yield f"has {len(pages)} pages"
        if not text or (self.absent and self.absent in text):
            yield "is empty" if not text else f"has {self.absent}"
        if self.absent != "\ufffd" and (stray := STRAY_MARK.search(whole)):
            yield f"has a Thai mark without its letter: {stray[0]!r}"


REPAIRED = ("document-repaired",)
FILES = {
    "01-": Wanted(THAI),
    "01c-": Wanted(THAI),
    "02-": Wanted((), pages=4),
    "03-": Wanted(()),
    "04-": Wanted(THAI),
    "05-": Wanted(THAI),
    "06-": Wanted(THAI),
    "07-": Wanted((), warnings=("text-layer-implausible",), absent="\ufffd"),
    "08-": Wanted(THAI),
    "09-": Wanted(("รายงานประจำปี ๒๕๖๗",)),
    "10-": Wanted(("CONFIDENTIAL DRAFT 2024", "Ref 48213/KX")),
    "11-": Wanted(()),
    "12-": Wanted(ENGLISH[:4]),
    "13-": Wanted(times=2),
    "14-": Wanted(NUMBERED),
    "15-": Wanted(SCREENS),
    "16-": Wanted((*ENGLISH, "Uncontrolled when printed")),
    "17-": Wanted(("TOTAL 1525.82 THB",)),
    "18-": Wanted((*ENGLISH, "Uncontrolled when printed")),
    "19-": Wanted(times=3),
    "20-": Wanted(times=3),
    "21-": Wanted(),
    "22-": Wanted(times=5),
    "23-": Wanted(warnings=REPAIRED),
    "24-": Wanted(("p1 Purchase order", "p12 Purchase order"), warnings=REPAIRED, pages=12),
    "25-": Wanted(),
    "26-": Wanted(absent="outside"),
    "27-": Wanted(absent="HIDDENLAYER"),
    "28-": Wanted(("FREETEXT approved by engineer 5512",)),
    "29-": Wanted((), warnings=("form-not-shown",)),
    "30-": Wanted(),
    "31-": Wanted(),
    "32-": Wanted(),
    "33-": Wanted((ENGLISH[0],)),
    "34-": Wanted(),
    "35-": Wanted(code="document_encrypted"),
    "36-": Wanted(("p1 Purchase order", "p10 Purchase order"), warnings=REPAIRED, pages=12),
    "37-": Wanted(("item 0 qty 0 price 0.50 total 0.75",)),
}


def wanted_of(name: str) -> Wanted | None:
    """Return what is wanted of a file by its name; None of one that is not known."""
    return next((wanted for start, wanted in FILES.items() if name.startswith(start)), None)
