"""A layout in other units: every place and length times a factor. Pure."""

from dataclasses import replace

from sidecar.evidence.layout import Box, Layout, Line


def scaled(layout: Layout, factor: float) -> Layout:
    """Return a layout whose places are so many times as far from the top left corner."""
    if factor == 1:
        return layout
    return Layout(
        layout.width * factor,
        layout.height * factor,
        tuple(_line(line, factor) for line in layout.lines),
        layout.rotation,
        tuple(_box(rule, factor) for rule in layout.rules),
        tuple(_box(figure, factor) for figure in layout.figures),
    )


def _line(line: Line, factor: float) -> Line:
    words = tuple(replace(word, box=_box(word.box, factor) if word.box else None) for word in line.words)
    baseline = None
    if line.baseline:
        (left, start), (right, end) = line.baseline
        baseline = (left * factor, start * factor), (right * factor, end * factor)
    size = None if line.size is None else line.size * factor
    return Line(words, _box(line.box, factor) if line.box else None, baseline, size, line.is_bold)


def _box(box: Box, factor: float) -> Box:
    return Box(box.left * factor, box.top * factor, box.right * factor, box.bottom * factor)
