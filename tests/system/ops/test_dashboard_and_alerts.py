"""The dashboard and the alerts speak of metrics that exist, and the alerts go off when they should."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.system.ops.promql import MisfitError, labels_of
from tests.system.ops.scrape import DOCUMENT, ROOT, Exposed, scrape_everything

RULES = ROOT / "ops" / "prometheus" / "slad.rules.yml"
DASHBOARD = ROOT / "ops" / "grafana" / "slad.json"
RULE_TESTS = Path(__file__).parent / "slad.rules.test.yml"


@pytest.fixture
async def exposed(tmp_path: Path) -> dict[str, Exposed]:
    return await scrape_everything(tmp_path)


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text("utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    return list(json.loads(DASHBOARD.read_text("utf-8"))["panels"])


def targets() -> Iterator[tuple[str, str, str]]:
    """(panel, expression, legend) of everything that the dashboard asks."""
    for panel in panels():
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"], target["legendFormat"]


async def test_every_alert_asks_for_what_exists_and_tells_labels_that_are_there(
    exposed: dict[str, Exposed],
) -> None:
    for rule in rules():
        labels = labels_of(rule["expr"], exposed)
        told = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
        assert told <= labels, rule["alert"]
        assert "instance" in labels, f"{rule['alert']} does not say where"


async def test_every_panel_asks_for_what_exists_and_its_legend_for_labels_that_are_there(
    exposed: dict[str, Exposed],
) -> None:
    for title, expression, legend in targets():
        labels = labels_of(expression, exposed)
        assert set(re.findall(r"{{(\w+)}}", legend)) <= labels, title


async def test_every_metric_of_slads_own_is_on_the_dashboard(exposed: dict[str, Exposed]) -> None:
    asked = " ".join(expression for _, expression, _ in targets())
    missing = {
        name for name in exposed if name.startswith("slad_") and not re.search(rf"\b{name}(\b|_)", asked)
    }
    # What is told by another in another way.
    assert missing == {"slad_head_sequence", "slad_scrape_errors_total"}


@pytest.mark.parametrize(
    "wrong",
    [
        "slad_call_total",
        "rate(slad_call_duration_seconds[5m])",
        "slad_writable_bucket",
        'slad_calls_total{method="PauseSla"}',
        'slad_calls_total{rpc="Pause"}',
        'slad_calls_total{code=~"UNAVAILABLE|BUSY"}',
        "sum by (tenant) (slad_calls_total)",
        "histogram_quantile(0.99, sum(rate(slad_commit_duration_seconds_bucket[5m])))",
        "slad_consumer_streams == 0 and slad_writable == 1",
        "sum by (rpc) (sum by (code) (slad_calls_total))",
    ],
)
async def test_the_check_finds(wrong: str, exposed: dict[str, Exposed]) -> None:
    with pytest.raises(MisfitError):
        labels_of(wrong, exposed)


def test_alerts_are_documented_with_their_severity() -> None:
    rows = re.findall(r"^\| <a .+`(Slad\w+)` \| (\w+) \| .+ \|$", DOCUMENT.read_text("utf-8"), re.MULTILINE)
    assert dict(rows) == {rule["alert"]: rule["labels"]["severity"] for rule in rules()}
    for rule in rules():
        assert rule["annotations"]["runbook_url"] == f"docs/metrics.md#{rule['alert'].lower()}"
        assert rule["annotations"]["description"]


def test_the_dashboard_is_in_order() -> None:
    found = panels()
    assert len({panel["id"] for panel in found}) == len(found)
    taken: set[tuple[int, int]] = set()
    for panel in found:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not taken & cells, f"{panel['title']} lies over another"
        assert place["x"] + place["w"] <= 24, panel["title"]
        taken |= cells
        if panel["type"] != "row":
            assert panel["description"], panel["title"]
            assert panel["datasource"]["uid"] == "${datasource}"


def promtool() -> str:
    tools = ROOT / ".tools" / "bin"
    path = shutil.which("promtool", path=os.pathsep.join([str(tools), os.environ["PATH"]]))
    if path is None:
        pytest.skip("promtool is missing; it comes with Prometheus: apt-get install prometheus")
    return path


def test_prometheus_takes_the_rules() -> None:
    done = subprocess.run([promtool(), "check", "rules", RULES], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(rules())} rules found" in done.stdout


def test_alerts_go_off_when_they_should_and_not_before(tmp_path: Path) -> None:
    """With the annotations that do not depend on values as the rules have them."""
    fixed = {rule["alert"]: dict(rule["annotations"]) for rule in rules()}
    content = yaml.safe_load(RULE_TESTS.read_text("utf-8"))
    content["rule_files"] = [str(RULES)]
    for case in (case for test in content["tests"] for case in test["alert_rule_test"]):
        for alert in case.get("exp_alerts", ()):
            alert["exp_annotations"] = fixed[case["alertname"]] | alert["exp_annotations"]
    filled = tmp_path / "rules.yml"
    filled.write_text(yaml.safe_dump(content), "utf-8")
    done = subprocess.run(
        [promtool(), "test", "rules", filled], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_such_a_test() -> None:
    tested = yaml.safe_load(RULE_TESTS.read_text("utf-8"))["tests"]
    cases = [case for test in tested for case in test["alert_rule_test"]]
    names = {rule["alert"] for rule in rules()}
    assert {case["alertname"] for case in cases if case.get("exp_alerts")} == names, "goes off"
    assert {case["alertname"] for case in cases if not case.get("exp_alerts")} == names, "does not"
