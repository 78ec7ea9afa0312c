import pytest

from sidecar.wire.common import names_in_header


@pytest.mark.parametrize(
    ("names", "header"),
    [
        ([], ""),
        (["task", "ฟิลด์ a"], "task, ??????a"),
        (["", "a,b"], "?, a?b"),
        (["n" * 300], "n" * 100),
    ],
)
def test_names_are_shown_in_visible_ascii(names, header):
    assert names_in_header(names) == header


def test_very_many_names_are_cut_between_two_of_them():
    header = names_in_header(f"field{number}" for number in range(3000))
    assert len(header) <= 2010
    assert header.startswith("field0, field1, ")
    assert header.endswith(", ...")
    assert header.split(", ")[-2].removeprefix("field").isdigit()
