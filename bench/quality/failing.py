"""What the files of a folder of difficult inputs should give, by the start of their names. The folder is not ours."""

from collections.abc import Mapping
from typing import Any

ENGLISH = [
    "Purchase order 48213 dated 14 March 2024",
    "Deliver to warehouse number seven, Bangkok",
    "Twelve boxes of copper pipe, four valves",
    "Payment is due within thirty days of receipt",
    "Signed by the manager of the harbour office",
    "Telephone 02 555 0147, reference KX-9921",
]
THAI = [
    "หนังสือสัญญาจ้างเหมาก่อสร้างอาคาร",
    "ผู้รับจ้างต้องทำงานให้แล้วเสร็จตามกำหนด",
    "กำหนดชำระเงินภายในสามสิบวันนับแต่วันที่ได้รับ",
    "น้ำประปาและไฟฟ้าเป็นหน้าที่ของผู้ว่าจ้าง",
    "คณะกรรมการตรวจรับพัสดุประจำโครงการนี้",
    "สำนักงานเขตพื้นที่กรุงเทพมหานครฝ่ายโยธา",
]
FIRST = ENGLISH[:1]
EXPECTED: Mapping[str, Mapping[str, Any]] = {
    "01-": {"present": THAI},
    "01c-": {"present": THAI},
    "02-": {"present": ["จบมัธยม และมั่นใจในสิ่งเดียวอย่างชัดเจนว่า", "ทำได้ยอดเยี่ยม", "งานซ่อมบำรุงอากาศยาน"]},
    "03-": {"present": ["สารบัญ", "หน่วยงานอื่นของรัฐ", "ยุทธศาสตร์ชาติ"]},
    "04-": {"present": THAI},
    "05-": {"present": THAI, "absent": ["\u0e4d\u0e32"]},
    "06-": {"present": THAI},
    "07-": {"present": THAI[:1], "absent": ["\ufffd"]},
    "08-": {"present": THAI},
    "09-": {"present": ["รายงานประจำปี ๒๕๖๗"]},
    "10-": {"present": ["CONFIDENTIAL DRAFT 2024", "Ref 48213/KX"]},
    "11-": {"present": ["Issue 1055"]},
    "12-": {"present": ENGLISH[:4]},
    "13-": {"present": FIRST},
    "14-": {"present": ["00 Purchase order 48213"]},
    "15-": {"present": ["001 Purchase order 48213 dated 14"]},
    "16-": {"present": ENGLISH},
    "17-": {"present": ["TOTAL 1525.82 THB"]},
    "18-": {"present": FIRST},
    "19-": {"present": ENGLISH},
    "20-": {"present": ENGLISH},
    "21-": {"present": FIRST},
    "22-": {"present": FIRST},
    "23-": {"present": FIRST},
    "24-": {"present": ["p1 Purchase order", "p12 "]},
    "25-": {"present": FIRST},
    "26-": {"present": FIRST, "absent": ["outside", "OFFPAGE", "OUTSIDE"]},
    "27-": {"present": FIRST, "absent": ["HIDDENLAYER"]},
    "28-": {"present": ["FREETEXT approved by engineer 5512"]},
    "29-": {"code": "form-not-shown"},
    "30-": {"present": FIRST},
    "31-": {"present": FIRST},
    "32-": {"present": FIRST},
    "33-": {"present": FIRST, "pages": 1},
    "34-": {"present": FIRST},
    "35-": {"code": "document_encrypted"},
    "36-": {"present": ["p1 Purchase order"]},
    "37-": {"present": ["item 0 qty 0 price 0.50 total 0.75"]},
}


def expected_of(name: str) -> Mapping[str, Any] | None:
    """Return what is expected of a file by its name; None of one that is not known."""
    return next((expected for prefix, expected in EXPECTED.items() if name.startswith(prefix)), None)
