"""Renders the chart with Helm's own library, as `helm template` does, without a cluster.

`python -m tools.charts.rendering [VALUES_FILE...]` prints the rendering; `make helm-template` is that.
"""

import functools
import json
import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tools.charts.helm import Chart

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm"
RELEASE, NAMESPACE = "ocr-sidecar", "ocr"

Values = Mapping[str, Any]
Object = dict[str, Any]


@functools.cache
def chart() -> Chart:
    """The chart, loaded once."""
    return Chart(CHART)


def render(values: Values | None = None, **options: Any) -> dict[str, str]:
    """Return the engine's output; each rendering is computed once."""
    return _render(json.dumps(values or {}), json.dumps({"name": RELEASE, "namespace": NAMESPACE} | options))


@functools.cache
def _render(values: str, options: str) -> dict[str, str]:
    return chart().render(json.loads(values), **json.loads(options))


def texts(values: Values | None = None, **options: Any) -> dict[str, str]:
    """Return each template's output by its path below templates/, without empty ones."""
    rendered = render(values, **options)
    by_path = {path.partition("/templates/")[2]: text for path, text in rendered.items()}
    return {path: text for path, text in sorted(by_path.items()) if path.endswith(".yaml") and text.strip()}


def notes(values: Values | None = None, **options: Any) -> str:
    """Return the text that Helm prints after an installation."""
    rendered = render(values, **options)
    return next(text for path, text in rendered.items() if path.endswith("NOTES.txt"))


def parse(text: str) -> list[Object]:
    """Read the objects of a manifest; each caller gets its own."""
    return json.loads(_as_json(text))


@functools.cache
def _as_json(text: str) -> str:
    """Read YAML once: JSON is read ten times as fast."""
    return json.dumps([one for one in yaml.load_all(text, Loader=yaml.CSafeLoader) if one])


def objects(values: Values | None = None, **options: Any) -> list[Object]:
    """Return all objects that the chart renders to, its tests included."""
    return [one for text in texts(values, **options).values() for one in parse(text)]


def objects_of_the_next_version(folder: Path, values: Values | None = None, **options: Any) -> list[Object]:
    """Return the rendering if only the chart's version and the code's had changed. Uses the folder."""
    shutil.copytree(CHART, folder / "next")
    about = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    about |= {"version": "9.9.9", "appVersion": "9.9.9"}
    (folder / "next" / "Chart.yaml").write_text(yaml.safe_dump(about), encoding="utf-8")
    rendered = Chart(folder / "next").render(dict(values or {}), **{"name": RELEASE, "namespace": NAMESPACE} | options)
    return [one for path, text in rendered.items() if path.endswith(".yaml") for one in parse(text)]


def is_test(one: Object) -> bool:
    """Return whether an object exists only for `helm test`."""
    return "helm.sh/hook" in one["metadata"].get("annotations", {})


def find(wanted: Iterable[Object], kind: str, name: str) -> Object:
    """Return the one object of that kind and name."""
    (found,) = [one for one in wanted if (one["kind"], one["metadata"]["name"]) == (kind, name)]
    return found


def pods(wanted: Iterable[Object]) -> Iterator[tuple[str, Object]]:
    """Return the pod (metadata and spec) that each object creates, with the object's kind and name."""
    for one in wanted:
        title = f"{one['kind']}/{one['metadata']['name']}"
        if one["kind"] == "Pod":
            yield title, one
        elif one["kind"] in ("Deployment", "Job"):
            yield title, one["spec"]["template"]


def values_file(name: str) -> dict[str, Any]:
    """Read helm/values-NAME.yaml."""
    return yaml.safe_load((CHART / f"values-{name}.yaml").read_text(encoding="utf-8"))


def containers_of(pod: Object) -> list[Object]:
    """Return the containers of a pod that run all the time: Ollama's starts before the others and ends after them."""
    before = pod["spec"].get("initContainers", [])
    assert all(one["restartPolicy"] == "Always" for one in before)
    return [*before, *pod["spec"]["containers"]]


def main(files: Iterable[str]) -> None:
    """Print the rendering, with the values of these files."""
    merged: dict[str, Any] = {}
    for file in files:
        merged = merge(merged, yaml.safe_load(Path(file).read_text(encoding="utf-8")))
    for path, text in texts(merged).items():
        body = re.sub(r"^---\n", "", text.strip())
        sys.stdout.write(f"---\n# Source: helm/templates/{path}\n{body}\n")


def merge(low: Values, high: Values) -> dict[str, Any]:
    """Merge values over values, map by map, as Helm does with several files."""
    both = dict(low)
    for key, value in high.items():
        inner = both.get(key)
        both[key] = merge(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return both


if __name__ == "__main__":
    main(sys.argv[1:])
