"""PromQL against the metrics that exist: which labels an expression yields, and what in it does not exist."""

from __future__ import annotations

import re
from typing import Any

import grpc
import promql_parser as promql

from tests.system.ops.scrape import Exposed

TARGET = {"job", "instance"}
"""What Prometheus adds to every series that it scrapes."""

PROMETHEUS_OWN = {"up": TARGET}

CODES = {code.name for code in grpc.StatusCode}

GRAFANA = {"$__rate_interval": "5m", "$instance": ".*"}
"""What Grafana puts in place of its variables, for example."""


class MisfitError(AssertionError):
    """An expression speaks of a metric, a label or a value that does not exist."""


def labels_of(text: str, exposed: dict[str, Exposed]) -> set[str]:
    """The labels of what the expression yields. Raises MisfitError, ValueError for what is no PromQL."""
    for variable, value in GRAFANA.items():
        text = text.replace(variable, value)
    return _labels(promql.parse(text), exposed)


def _labels(node: Any, exposed: dict[str, Exposed]) -> set[str]:  # noqa: PLR0911 - one a kind of node
    match node:
        case promql.VectorSelector():
            return _selected(node, exposed)
        case promql.MatrixSelector():
            return _labels(node.vector_selector, exposed)
        case promql.AggregateExpr():
            inner, kept = _labels(node.expr, exposed), set()
            if node.modifier is not None:
                assert node.modifier.type == promql.AggModifierType.By, "teach this test `without`"
                kept = set(node.modifier.labels)
            if not kept <= inner:
                raise MisfitError(f"{node}: nothing in it has {kept - inner}")
            return kept
        case promql.Call():
            inner = set().union(*(_labels(argument, exposed) for argument in node.args))
            if node.func.name == "histogram_quantile":
                if "le" not in inner:
                    raise MisfitError(f"{node}: `le` is gone")
                inner.discard("le")
            return inner
        case promql.BinaryExpr():
            sides = [_labels(side, exposed) for side in (node.lhs, node.rhs)]
            if all(isinstance(side, promql.NumberLiteral) for side in (node.lhs, node.rhs)) or not all(sides):
                return sides[0] | sides[1]
            if sides[0] != sides[1]:
                raise MisfitError(f"{node}: {sides[0] ^ sides[1]} is on one side only, so nothing matches")
            return sides[0]
        case promql.ParenExpr() | promql.SubqueryExpr() | promql.UnaryExpr():
            return _labels(node.expr, exposed)
        case promql.NumberLiteral() | promql.StringLiteral():
            return set()
    raise MisfitError(f"{type(node).__name__}: teach this test")


def _selected(node: Any, exposed: dict[str, Exposed]) -> set[str]:
    if node.name in PROMETHEUS_OWN:
        return set(PROMETHEUS_OWN[node.name])
    name, part = node.name, ""
    if name not in exposed:
        name, _, part = node.name.rpartition("_")
    metric = exposed.get(name)
    if metric is None or (metric.kind == "histogram") != (part in {"bucket", "sum", "count"}):
        raise MisfitError(f"there is no metric {node.name}")
    labels = metric.labels | TARGET | ({"le"} if part == "bucket" else set())
    for matcher in node.matchers.matchers:
        if matcher.name not in labels:
            raise MisfitError(f"{node.name} has no label {matcher.name}")
        known = CODES if matcher.name == "code" else metric.values_of(matcher.name)
        if matcher.name not in TARGET and not set(re.split(r"\|", matcher.value)) <= known:
            raise MisfitError(f"{node.name}: {matcher.name} is never {matcher.value}")
    return labels
