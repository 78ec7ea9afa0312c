"""Upgrades on a real API server: from the releases before, between any two sets of values, and of nothing at all.

What Helm removes or makes anew cannot be refused; what it changes can: a selector, a claim, a Job's template.
"""

import asyncio
import json
import re
from collections.abc import Iterable

import pytest

from tests.integration.controller.cluster_under_test import Admin, ApiRefusalError
from tests.integration.helm.cluster import OF_THE_CLUSTER, apply, make_sure, ours
from tests.integration.helm.conftest import use_restricted_namespace
from tests.matrix import first
from tools.charts import release as kept
from tools.charts.cases import CASES
from tools.charts.rendering import Object, is_test, objects

pytestmark = pytest.mark.envtest

PLACE = kept.PLACE
"""Stands for the namespace, so that objects of several are comparable."""
AT_A_TIME = 16
Key = tuple[str, str]
Cases = dict[str, dict[Key, str]]
"""What each set of values renders to: objects as JSON, by kind and name."""


def by_key(rendered: Iterable[Object]) -> dict[Key, str]:
    return {
        (one["kind"], one["metadata"]["name"]): json.dumps(one, sort_keys=True)
        for one in ours([one for one in rendered if not is_test(one)])
    }


def now() -> Cases:
    return {case: by_key(objects(values, namespace=PLACE)) for case, values in CASES.items()}


def released(version: str) -> Cases:
    return {case: by_key(rendered) for case, rendered in kept.read(version, PLACE)[1].items()}


def changes(pairs: Iterable[tuple[dict[Key, str], dict[Key, str]]]) -> dict[str, set[str]]:
    """What becomes of each object, over all these upgrades: itself → what it is changed into."""
    found: dict[str, set[str]] = {}
    for before, after in pairs:
        for key in before.keys() & after.keys():
            if before[key] != after[key]:
                found.setdefault(before[key], set()).add(after[key])
    return found


async def refusals(admin: Admin, found: dict[str, set[str]]) -> list[str]:
    """Install each object, try each change of it by a dry run, and give what was refused."""
    waiting = dict(found)
    refused: list[str] = []
    while waiting:
        namespace = await use_restricted_namespace(admin)
        # One of a name at a time: a namespace holds one of each.
        here: dict[Key, str] = {}
        for text in waiting:
            one = json.loads(text)
            here.setdefault((one["kind"], one["metadata"]["name"]), text)
        await asyncio.gather(*(apply(admin, json.loads(text.replace(PLACE, namespace))) for text in here.values()))
        slots = asyncio.Semaphore(AT_A_TIME)

        async def attempt(after: str, slots: asyncio.Semaphore = slots, namespace: str = namespace) -> None:
            async with slots:
                try:
                    await apply(admin, json.loads(after.replace(PLACE, namespace)), dryRun="All")
                except ApiRefusalError as refusal:
                    refused.append(str(refusal))

        await asyncio.gather(*(attempt(after) for text in here.values() for after in waiting.pop(text)))
    return sorted(set(refused))


@pytest.mark.parametrize("version", kept.versions())
async def test_from_a_release_to_this_with_the_same_values(admin, version):
    before, after = released(version), now()
    known = before.keys() & after.keys()
    assert len(known) >= 20
    found = changes((before[case], after[case]) for case in known)
    assert await refusals(admin, found) == []


@pytest.mark.parametrize("version", kept.versions())
async def test_and_back(admin, version):
    before, after = released(version), now()
    found = changes((after[case], before[case]) for case in before.keys() & after.keys())
    assert await refusals(admin, found) == []


FOREVER = re.compile(r"^422 (PersistentVolumeClaim|Service) .*(spec is immutable|ipFamilies|clusterIPs)")
"""What Kubernetes lets nobody change, as docs/deploy.md tells: a claim, and a Service's first family of addresses."""


@pytest.mark.matrix
async def test_between_any_two_sets_of_values(admin):
    cases = now()
    found = changes((before, after) for before in cases.values() for after in cases.values() if before is not after)
    assert sum(map(len, found.values())) > 500
    refused = await refusals(admin, found)
    assert [one for one in refused if not FOREVER.match(one)] == []


async def test_what_cannot_be_changed_is_noticed(admin):
    """The test of the tests: another selector, which no Deployment takes."""
    (deployment, *_) = [text for (kind, _), text in now()["default"].items() if kind == "Deployment"]
    one = json.loads(deployment)
    for labels in (one["spec"]["selector"]["matchLabels"], one["spec"]["template"]["metadata"]["labels"]):
        labels["app.kubernetes.io/instance"] = "another"
    (refused,) = await refusals(admin, {deployment: {json.dumps(one)}})
    assert "field is immutable" in refused


@pytest.mark.parametrize("manager", ["argocd-controller", "kustomize-controller"])
@pytest.mark.parametrize("case", first(3, [*CASES]))
async def test_the_same_applied_again_changes_nothing(admin, case, manager):
    """As Argo CD and Flux do it every few minutes: rendered anew, applied by the server, compared with what is there"""
    values = CASES[case]
    await make_sure(admin, "/api/v1/namespaces", {"metadata": {"name": "ocr"}})  # of the case with extraObjects
    first_time = by_key(objects(values, namespace=admin.namespace))
    applied = {key: await apply(admin, json.loads(text), fieldManager=manager) for key, text in first_time.items()}
    second_time = by_key(objects(values, namespace=admin.namespace))
    assert second_time == first_time
    for key, text in second_time.items():
        for query in ({"dryRun": "All"}, {}):
            again = await apply(admin, json.loads(text), fieldManager=manager, **query)
            assert content(again) == content(applied[key]), f"{key} is written anew"


def content(one: Object) -> Object:
    """An object with its generation, but without what tells only that it was written."""
    unstable = ("resourceVersion", "managedFields")
    return one | {"metadata": {name: value for name, value in one["metadata"].items() if name not in unstable}}


def test_every_object_of_the_cluster_has_the_namespace_in_its_name():
    """So that two releases do not fight for one."""
    for case, rendered in now().items():
        for kind, name in rendered:
            assert kind not in OF_THE_CLUSTER or PLACE in name, (case, kind, name)
