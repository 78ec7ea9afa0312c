"""manifests/base/: the chart's default rendering, for users of kustomize instead of Helm.

`python -m tools.charts.base` (`make manifests`) writes it. A test compares it with the rendering.
"""

import re

from tools.charts.rendering import CHART, ROOT, parse, texts

BASE = ROOT / "manifests" / "base"
BY_HAND = {"namespace.yaml"}
CRD = "ocrprofiles-crd.yaml"
# Without Helm nothing is "managed by Helm", and there is no chart.
OF_HELM = re.compile(r"^ +(app\.kubernetes\.io/managed-by|helm\.sh/chart): .*\n", re.MULTILINE)
HEAD = "# Made from the chart by `make manifests`; edit helm/ instead.\n"


def of_helm_removed(text: str) -> str:
    """Return a rendered text without the labels of Helm."""
    return OF_HELM.sub("", text)


def files() -> dict[str, str]:
    """Return every file of the folder except those made by hand, by name."""
    made = {CRD: HEAD + (CHART / "crds" / "ocrprofiles.yaml").read_text(encoding="utf-8")}
    for path, text in texts().items():
        if not path.startswith("tests/"):
            made[path.replace("/", "-")] = HEAD + tidy(of_helm_removed(text))
    resources = "".join(f"  - {name}\n" for name in sorted({*made, *BY_HAND}))
    head = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"
    made["kustomization.yaml"] = f"{HEAD}{head}resources:\n{resources}"
    assert all(parse(text) for text in made.values())
    return made


def tidy(text: str) -> str:
    """Return a rendered text without the templates' blank lines and trailing spaces."""
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    return "\n".join(lines).removeprefix("---\n") + "\n"


def main() -> None:
    """Write the folder, and remove what is no longer rendered."""
    made = files()
    for path in BASE.glob("*.yaml"):
        if path.name not in made and path.name not in BY_HAND:
            path.unlink()
    for name, text in made.items():
        (BASE / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
