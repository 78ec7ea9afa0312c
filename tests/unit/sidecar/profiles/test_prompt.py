import pytest

from sidecar.profiles.prompt import messages, readable_name, user_text

ORDER = "Extract all text from this page."


def test_without_tags_the_model_is_told_to_read_and_nothing_else():
    assert user_text(()) == ORDER


def test_each_tag_has_its_line_under_its_own_name():
    assert user_text(("document_number", "receivedDate")) == (
        "Extract all text from this page.\n"
        "Additionally:\n"
        "- Wrap the document number with <document_number>...</document_number>\n"
        "- Wrap the received date with <receivedDate>...</receivedDate>\n"
        "If a field is not found, omit the tag."
    )


@pytest.mark.parametrize(
    ("tag", "words"),
    [
        ("document_number", "document number"),
        ("documentNumber", "document number"),
        ("Document_Number", "document number"),
        ("rev2Date", "rev2 date"),
        ("a__b_", "a b"),
        ("RFA", "rfa"),
        ("x", "x"),
    ],
)
def test_a_tag_is_spelt_as_words(tag, words):
    assert readable_name(tag) == words


def test_the_system_prompt_comes_first_and_the_picture_with_the_order():
    assert messages("อ่าน", ("a",), "UE5H") == [
        {"role": "system", "content": "อ่าน"},
        {"role": "user", "content": user_text(("a",)), "images": ["UE5H"]},
    ]


@pytest.mark.parametrize("nothing", [None, ""])
def test_without_a_system_prompt_the_modelfile_s_stands(nothing):
    assert messages(nothing, (), "UE5H") == [{"role": "user", "content": ORDER, "images": ["UE5H"]}]


@pytest.mark.parametrize("tags", [(), ("a", "b")])
def test_the_user_s_message_is_never_empty(tags):
    assert all(message["content"] for message in messages(None, tags, "UE5H"))
