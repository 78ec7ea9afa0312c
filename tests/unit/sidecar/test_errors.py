"""The tree of errors: what the docstring draws is what there is, and an error crosses process borders whole."""

import pickle
import re

import pytest

from sidecar import errors
from sidecar.errors import PageUnreadableError, QueueFullError, SidecarError, error_classes

LINE = re.compile(
    r"^(?P<indent>[ │├└─]*)(?P<name>\w+Error) +(?P<status>\d{3}) (?P<code>\w+)(?P<retryable> +\(retryable\))?$"
)
CLASSES = {kind.__name__: kind for kind in error_classes().values() if kind.__module__ == errors.__name__}
EVERY_CLASS = pytest.mark.parametrize("kind", CLASSES.values(), ids=CLASSES)


def drawn():
    """Read the tree in the module's docstring: name to parent, status, code and whether trying again can help."""
    tree, above = {}, {}
    for line in errors.__doc__.splitlines():
        if match := LINE.match(line.removeprefix("    ")):
            depth = len(match["indent"]) // 4
            above[depth] = match["name"]
            parent = above[depth - 1] if depth else "Exception"
            tree[match["name"]] = (parent, int(match["status"]), match["code"], bool(match["retryable"]))
    return tree


def test_the_tree_in_the_docstring_is_the_tree_of_classes():
    assert drawn() == {
        name: (kind.__base__.__name__, kind.status, kind.code, kind.retryable) for name, kind in CLASSES.items()
    }


def test_every_class_of_the_module_is_in_the_tree_and_has_a_code_of_its_own():
    defined = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, SidecarError)]
    assert set(defined) == set(CLASSES.values())
    assert len({kind.code for kind in defined}) == len(defined)


@pytest.mark.parametrize(
    ("status", "codes"),
    [
        (400, {"keep_alive_refused", "bad_system_prompt", "bad_json", "unknown_engine", "bad_tag_name"}),
        (401, {"unauthorized"}),
        (403, {"path_forbidden"}),
        (404, {"file_not_found"}),
        (413, {"too_large", "page_too_large", "too_many_pages"}),
        (415, {"unsupported_media_type"}),
        (422, {"document_unreadable", "document_encrypted", "document_empty", "decompression_bomb", "invalid_value"}),
        (422, {"unknown_profile"}),
        (429, {"queue_full", "quota_exhausted"}),
        (500, {"internal_error"}),
        (502, {"engine_failed"}),
        (503, {"engine_unavailable", "not_configured"}),
        (504, {"deadline_exceeded"}),
    ],
)
def test_an_error_has_the_status_that_the_contract_gives(status, codes):
    assert codes <= {code for code, kind in error_classes().items() if kind.status == status}


@EVERY_CLASS
def test_trying_again_helps_only_where_it_can(kind):
    stays = issubclass(kind, errors.EngineRefusedError | errors.NotConfiguredError)  # so is the same request's answer
    passes = issubclass(kind, errors.JobRunningError)  # the one conflict that ends by itself
    assert kind.retryable is (passes or (kind.status in {408, 429, 502, 503, 504} and not stays))


@EVERY_CLASS
@pytest.mark.parametrize("retry_after_s", [None, 0, 17])
def test_an_error_crosses_process_borders_whole(kind, retry_after_s):
    error = pickle.loads(pickle.dumps(kind("หน้า 3 is broken", retry_after_s=retry_after_s)))
    assert (type(error), error.detail, error.retry_after_s) == (kind, "หน้า 3 is broken", retry_after_s)


def test_a_field_is_called_as_its_caller_knows_it():
    error = errors.InvalidValueError("asks for page 5", field="pages", retry_after_s=3)
    assert error.detail == "pages asks for page 5"
    for one in (error, pickle.loads(pickle.dumps(error))):
        assert one.named({}).detail == error.detail
        renamed = one.named({"pages": "page_range", "asks": "x"})
        assert (type(renamed), renamed.detail) == (errors.InvalidValueError, "page_range asks for page 5")
        assert (renamed.field, renamed.retry_after_s) == ("page_range", 3)
    assert errors.InvalidValueError("pages is a word").named({"pages": "x", "": "y"}).detail == "pages is a word"


def test_the_base_class_tells_the_caller_nothing():
    assert (SidecarError().detail, SidecarError().retry_after_s) == ("internal error", None)


def test_more_particular_errors_are_caught_as_the_general_one():
    with pytest.raises(errors.UnreadableDocumentError):
        raise PageUnreadableError("x")
    with pytest.raises(SidecarError):
        raise QueueFullError("x", retry_after_s=1)
