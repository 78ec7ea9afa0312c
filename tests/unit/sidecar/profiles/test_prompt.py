import pytest

from sidecar.profiles.precedence import Overrides, instruct
from sidecar.profiles.prompt import messages, readable_name, tags_text, wants_anchors

ORDER = "Extract all text from this page."


TAGGED = """Additionally:
- Wrap the a with <a>...</a>
If a field is not found, omit the tag."""


def sent(anchors: str = "", **said: object) -> list[tuple[object, object]]:
    """The roles and texts of the messages for a request that says this."""
    said.setdefault("tags", ())
    return [(one["role"], one["content"]) for one in messages(instruct(None, "m", Overrides(**said)), "UE5H", anchors)]


def test_without_tags_nothing_is_said_of_them():
    assert tags_text(()) == ""


def test_each_tag_has_its_line_under_its_own_name():
    assert tags_text(("document_number", "receivedDate")) == (
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


def test_the_picture_goes_with_the_user_s_message():
    system, user = messages(instruct(None, "m", Overrides(system_prompt="อ่าน")), "UE5H")
    assert "images" not in system
    assert user["images"] == ["UE5H"]


def test_the_tags_end_the_system_prompt():
    assert sent(system_prompt="อ่าน", tags=("a",)) == [("system", f"อ่าน\n{TAGGED}"), ("user", ORDER)]


@pytest.mark.parametrize("nothing", [None, ""])
def test_without_a_system_prompt_the_modelfile_s_stands(nothing):
    assert sent(system_prompt=nothing) == [("user", ORDER)]
    assert sent(system_prompt=nothing, tags=("a",)) == [("user", f"{ORDER}\n{TAGGED}")]


def test_a_user_prompt_takes_the_place_of_the_order():
    assert sent(user_prompt="Read.") == [("user", "Read.")]
    assert sent(system_prompt="s", user_prompt="Read.", tags=("a",)) == [("system", f"s\n{TAGGED}"), ("user", "Read.")]


@pytest.mark.parametrize("between", ["", " ", "\n", "\n\n"])
def test_the_anchors_stand_between_their_marks(between):
    prompt = f"Text:\nRAW_TEXT_START{between}RAW_TEXT_END\nGo."
    assert wants_anchors(prompt)
    assert sent(r"[1x2]\1 a", user_prompt=prompt) == [("user", "Text:\nRAW_TEXT_START\n[1x2]\\1 a\nRAW_TEXT_END\nGo.")]


@pytest.mark.parametrize("prompt", [None, "Read.", "RAW_TEXT_START here RAW_TEXT_END", "RAW_TEXT_END RAW_TEXT_START"])
def test_marks_with_something_between_them_are_left_alone(prompt):
    assert not wants_anchors(prompt)
    assert sent("anchors", user_prompt=prompt) == [("user", prompt or ORDER)]


@pytest.mark.parametrize("tags", [(), ("a", "b")])
def test_the_user_s_message_is_never_empty(tags):
    assert all(text for _, text in sent(tags=tags))
