"""What a prompt holds for somebody to fill in: one answer for the sidecar's warning and the controller's condition."""

import time

import pytest

from controller.publish.status import prompt_clean
from controller.resource.spec import read_resource
from sidecar.profiles.payload import find_placeholders
from tests.unit.controller.bodies import body

CASES = [
    ("Read {{ocr_text}}", ["{{ocr_text}}"]),
    ("Read {{ two\nlines }}", ["{{ two\nlines }}"]),
    ("{{b}} {{a}} {{b}}", ["{{a}}", "{{b}}"]),
    ("{{{triple}}}", ["{{triple}}"]),
    ("อ่าน{{ข้อความ}}", ["{{ข้อความ}}"]),
    ("{{}}", []),
    ("{{ \t\n }}", []),
    ("{{a{b}}}", []),
    ('{{"natural_text": {"a": 1}}}', []),
    ("{{" + "x" * 101 + "}}", []),
    ("Read {one} }} and {{ the rest", []),
    ('answer {"a": {"b": {}}}', []),
    ("Read", []),
]


@pytest.mark.parametrize(("template", "found"), CASES)
def test_what_a_template_has_to_be_filled_in_is_found(template, found):
    assert find_placeholders(template) == found


@pytest.mark.parametrize("nothing", [None, ""])
def test_no_prompt_holds_no_placeholder(nothing):
    assert find_placeholders(nothing) == []


@pytest.mark.parametrize(("template", "found"), CASES)
def test_the_controller_s_condition_says_the_same(template, found):
    resource = read_resource(body(spec={"prompt": {"systemPrompt": template}}))
    assert prompt_clean(resource).status == ("False" if found else "True")


@pytest.mark.parametrize("unit", ["{{", "{{a", "{{" + "x" * 100, "{{ ", "{", "}}", "{{a}"])
def test_the_time_to_look_grows_with_the_prompt_and_not_with_its_square(unit):
    template = unit * (1_000_000 // len(unit))
    started_s = time.process_time()
    assert find_placeholders(template) == []
    assert time.process_time() - started_s < 1.0
