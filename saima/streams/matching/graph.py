"""Rules from and to the JSON graph of dynamic Flink CEP (Alibaba Cloud, Ververica): nodes, edges, quantifiers.

Conditions are Aviator expressions there; those of a Java class need a condition given for its name. What the graph does
not have (the key, what is emitted, limits) is not exported.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from saima.streams.matching.aviator import from_aviator, to_aviator
from saima.streams.matching.chain import Link, make_chain
from saima.streams.matching.errors import Problems
from saima.streams.matching.grammar import Rule

UNITS = {"MILLISECONDS": 1, "SECONDS": 1000, "MINUTES": 60_000, "HOURS": 3_600_000, "DAYS": 86_400_000}

EDGES = {
    "STRICT": "next",
    "SKIP_TILL_NEXT": "followed_by",
    "SKIP_TILL_ANY": "followed_by_any",
    "NOT_NEXT": "not_next",
    "NOT_FOLLOW": "not_followed_by",
}
INNER = {"STRICT": "strict", "SKIP_TILL_NEXT": "relaxed", "SKIP_TILL_ANY": "any"}
SKIPS = {
    "NO_SKIP": "none",
    "SKIP_TO_NEXT": "next",
    "SKIP_PAST_LAST_EVENT": "past_last",
    "SKIP_TO_FIRST": "first",
    "SKIP_TO_LAST": "last",
}
_JUNCTIONS = {"RichAndCondition": "and", "RichOrCondition": "or", "RichNotCondition": "not"}
_EDGE_OF = {"strict": "STRICT", "relaxed": "SKIP_TILL_NEXT", "any": "SKIP_TILL_ANY"} | {
    "not_next": "NOT_NEXT",
    "not_followed_by": "NOT_FOLLOW",
}


def import_graph(graph: Mapping[str, Any], rule: str, classes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Rule document of a graph; `classes` gives a condition for the name of a Java class.

    Raises RuleError with the JSON path inside the graph of what has no equal.
    """
    problems = Problems()
    reader = _Reader(problems, dict(classes or {}))
    try:
        document = reader.rule(graph, rule)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        problems.add("$", f"no graph of a pattern: {type(error).__name__} {error}")
        document = {}
    problems.raise_for(rule)
    return document


class _Reader:
    def __init__(self, problems: Problems, classes: dict[str, Any]) -> None:
        self.problems = problems
        self.classes = classes

    def rule(self, graph: Mapping[str, Any], rule: str) -> dict[str, Any]:
        document: dict[str, Any] = {"id": rule, "version": graph.get("version") or 1, "pattern": self.chain(graph, "$")}
        window = graph.get("window")
        if window:
            length = window["time"]["size"] * UNITS[window["time"]["unit"]]
            if window.get("type", "FIRST_AND_LAST") == "PREVIOUS_AND_CURRENT":
                document["pattern"][-1]["gap_ms"] = length
            else:
                document["within_ms"] = length
        skip = graph.get("afterMatchStrategy")
        if skip:
            document["skip"] = {"to": SKIPS[skip["type"]]}
            if skip.get("patternName"):
                document["skip"]["step"] = skip["patternName"]
        return document

    def chain(self, graph: Mapping[str, Any], path: str) -> list[dict[str, Any]]:
        """Steps of a graph's nodes in the order of its edges."""
        nodes = {node["name"]: (i, node) for i, node in enumerate(graph["nodes"])}
        following = {edge["source"]: edge for edge in graph["edges"]}
        firsts = [name for name in nodes if name not in {edge["target"] for edge in graph["edges"]}]
        if len(firsts) != 1 or len(following) != len(graph["edges"]) or len(following) != len(nodes) - 1:
            self.problems.add(
                f"{path}.edges", "the nodes are not one chain: each but the last has one edge to the next"
            )
            return []
        name, after = firsts[0], None
        found = []
        while True:
            i, node = nodes[name]
            step = self.element(node, f"{path}.nodes[{i}]")
            if after is not None:
                step["after"] = after
            found.append(step)
            edge = following.get(name)
            if edge is None:
                return found
            if edge["type"] not in EDGES:
                self.problems.add(f"{path}.edges", f"unknown type of edge '{edge['type']}'; known: {', '.join(EDGES)}")
                return found
            name, after = edge["target"], EDGES[edge["type"]]

    def element(self, node: Mapping[str, Any], path: str) -> dict[str, Any]:
        step: dict[str, Any] = {"name": node["name"]}
        if node.get("type") == "COMPOSITE":
            step["group"] = self.chain(node, path)
        elif node.get("condition") is not None:
            step["where"] = self.condition(node["condition"], f"{path}.condition", node["name"])
        quantifier = node.get("quantifier") or {}
        properties = quantifier.get("properties") or ["SINGLE"]
        times = quantifier.get("times") or {}
        if times.get("windowTime"):
            self.problems.add(f"{path}.quantifier.times.windowTime", "a window of repetitions has no equal; use gap_ms")
        least, most = times.get("from", 1), times.get("to", 1)
        if "LOOPING" in properties:
            step["times"] = [least, None]
        elif "TIMES" in properties:
            step["times"] = least if least == most else [least, most]
        if "times" in step and quantifier.get("consumingStrategy"):
            step["inner"] = INNER[quantifier["consumingStrategy"]]
        for name, field in (("OPTIONAL", "optional"), ("GREEDY", "greedy")):
            if name in properties:
                step[field] = True
        if quantifier.get("untilCondition"):
            until = quantifier["untilCondition"]
            step["until"] = self.condition(until, f"{path}.quantifier.untilCondition", node["name"])
        return step

    def condition(self, condition: Mapping[str, Any], path: str, step: str) -> Any:
        if condition.get("type") == "AVIATOR":
            return from_aviator(condition["expression"])
        name = str(condition.get("className") or condition.get("type"))
        if name in self.classes:
            return self.classes[name]
        junction = _JUNCTIONS.get(name.rpartition(".")[2])
        if junction and condition.get("nestedConditions"):
            inner = [
                self.condition(nested, f"{path}.nestedConditions[{i}]", step)
                for i, nested in enumerate(condition["nestedConditions"])
            ]
            return [junction, *inner]
        self.problems.add(path, f"the condition is code, '{name}': give a condition for that name", step)
        return None


def export_graph(rule: Rule) -> dict[str, Any]:
    """Graph of a rule. Raises RuleError for what the graph cannot say."""
    problems = Problems()
    writer = _Writer(problems)
    last = make_chain(rule, problems, None)
    graph = {"name": rule.id, "type": "COMPOSITE", "version": rule.version, "condition": None}
    graph |= {"quantifier": _quantifier(None), **writer.chain(last), "window": None}
    if rule.on is not None:
        problems.add("$.on", "the graph sees every event")
    if rule.within_ms is not None:
        graph["window"] = _window("FIRST_AND_LAST", rule.within_ms)
    elif last.gap is not None:
        graph["window"] = _window("PREVIOUS_AND_CURRENT", last.gap)
    name = next(name for name, to in SKIPS.items() if to == rule.skip.to)
    graph["afterMatchStrategy"] = {"type": name, "patternName": rule.skip.step}
    writer.gaps(last, rule)
    problems.raise_for(rule.id)
    return graph


class _Writer:
    def __init__(self, problems: Problems) -> None:
        self.problems = problems

    def chain(self, last: Link) -> dict[str, Any]:
        links: list[Link] = []
        link: Link | None = last
        while link is not None:
            links.insert(0, link)
            link = link.previous
        return {
            "nodes": [self.node(one) for one in links],
            "edges": [
                {"source": one.name, "target": two.name, "type": _EDGE_OF[two.contiguity]}
                for one, two in pairwise(links)
            ],
        }

    def node(self, link: Link) -> dict[str, Any]:
        node: dict[str, Any] = {"name": link.name, "quantifier": _quantifier(link), "condition": None}
        if link.until is not None:
            node["quantifier"]["untilCondition"] = self.condition(link.until, link.name)
        if link.group is not None:
            return node | self.chain(link.group) | {"type": "COMPOSITE"}
        return node | {"type": "ATOMIC", "condition": self.condition(link.condition, link.name)}

    def condition(self, node: Any, step: str) -> dict[str, Any] | None:
        if getattr(node, "value", None) is True:
            return None
        try:
            return {"type": "AVIATOR", "expression": to_aviator(node)}
        except ValueError as error:
            self.problems.add("$.pattern", str(error), step)
            return None

    def gaps(self, last: Link, rule: Rule) -> None:
        """Note gaps that the graph's one window cannot say."""
        link: Link | None = last
        while link is not None:
            if link.gap is not None and (link is not last or rule.within_ms is not None):
                self.problems.add("$.pattern", "the graph has one window; it cannot say this gap_ms", link.name)
            link = link.previous


def _quantifier(link: Link | None) -> dict[str, Any]:
    found: dict[str, Any] = {"consumingStrategy": "SKIP_TILL_NEXT", "properties": ["SINGLE"], "times": None}
    if link is not None:
        found["consumingStrategy"] = _EDGE_OF[link.inner]
        if link.most is None or link.repeats:
            found["properties"] = ["LOOPING" if link.most is None else "TIMES"]
            most = link.least if link.most is None else link.most
            found["times"] = {"from": link.least, "to": most, "windowTime": None}
        found["properties"] += ["OPTIONAL"] * link.optional + ["GREEDY"] * link.greedy
    return found | {"untilCondition": None}


def _window(kind: str, length: int) -> dict[str, Any]:
    return {"type": kind, "time": {"unit": "MILLISECONDS", "size": length}}
