"""The scrape example and the chart's dashboard fit together, without Kubernetes."""

import json
import re
import shutil
import subprocess

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from sidecar.settings import parse_settings
from tests.unit.test_docs import ROOT

FILE = ROOT / "examples" / "prometheus" / "prometheus.yaml"
DASHBOARD = ROOT / "helm" / "files" / "dashboard.json"
(JOB,) = yaml.safe_load(FILE.read_text(encoding="utf-8"))["scrape_configs"]


def test_promtool_accepts_it():
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("there is no promtool")
    subprocess.run([promtool, "check", "config", FILE], check=True, capture_output=True)


def test_it_asks_the_ops_port_and_gives_the_label_that_the_dashboard_chooses_by():
    (static,) = JOB["static_configs"]
    assert static["targets"] == [f"127.0.0.1:{parse_settings({}).ops_port}"]
    chooser = [one for one in json.loads(DASHBOARD.read_text("utf-8"))["templating"]["list"] if one["type"] == "query"]
    asked = {re.search(r", (\w+)\)$", one["query"]["query"])[1] for one in chooser}
    assert asked == static["labels"].keys()


async def test_what_it_asks_for_is_answered_with_what_the_dashboard_begins_with(service):
    async with service.client.get(f"{service.ops}{JOB['metrics_path']}") as response:
        assert response.status == 200
        names = {family.name for family in text_string_to_metric_families(await response.text())}
    (first,) = set(re.findall(r"label_values\((\w+),", DASHBOARD.read_text(encoding="utf-8")))
    assert first in names


def test_there_is_one_dashboard():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert [name for name in listed if name.endswith("dashboard.json")] == ["helm/files/dashboard.json"]
