"""Documents of which only the text is known: their pages are made by whoever opens them, not by whoever answers."""

import pickle
import time
from types import SimpleNamespace

from sidecar.ocr.engine import FAST_PATH
from sidecar.ocr.page_reading import PageResult
from sidecar.ocr.results.pages_written import to_lay, to_write

TEXT = "\n".join(" ".join(f"word{at}" for at in range(9)) for _ in range(55))


def told(*pages: PageResult) -> SimpleNamespace:
    """As much of a result as is asked for."""
    return SimpleNamespace(structured=(), pages=pages)


def words_of(page):
    return [word.text for block in page.blocks for line in block.lines for word in line.words]


def test_a_page_has_the_words_of_its_text_also_in_another_process():
    result = told(PageResult(1, "one two\nthree", "tesseract", 0), PageResult(2, "", None, 0))
    pages = list(pickle.loads(pickle.dumps(to_write(result))))
    assert [page.number for page in pages] == [1, 2]
    assert [words_of(page) for page in pages] == [["one", "two", "three"], []]


def test_a_layer_goes_on_what_an_engine_read_only():
    result = told(PageResult(1, "layer", FAST_PATH, 0), PageResult(2, "read", "tesseract", 0))
    assert [page.number for page in to_lay(result, mended=True)] == [2]


def test_deciding_makes_no_page_so_that_others_need_not_wait():
    result = told(*(PageResult(number, TEXT, "tesseract", 0) for number in range(1, 1001)))
    start_s = time.thread_time()
    pages = to_write(result), to_lay(result, mended=True)
    assert time.thread_time() - start_s < 0.2, "making them takes 2 s"
    assert [len(one) for one in pages] == [1000, 1000]
