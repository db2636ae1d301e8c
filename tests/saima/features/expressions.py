"""Expressions made at random: text of every type that features have, over names of every type."""

from __future__ import annotations

import random


class Texts:
    """Expressions of a wanted type over names by type; `depth` bounds how far they nest."""

    def __init__(self, rng: random.Random, names: dict[str, list[str]]) -> None:
        self.rng = rng
        self.names = names

    def make(self, dtype: str, depth: int) -> str:
        """Text of an expression of a type."""
        known = self.names.get(dtype, [])
        if depth == 0 or (known and self.rng.random() < 0.25):
            return self.rng.choice(known) if known and self.rng.random() < 0.85 else self.leaf(dtype)
        d = depth - 1
        options = {
            "int64": self.whole, "float64": self.real, "bool": self.truth, "string": self.text,
            "decimal(2)": self.fixed,
            "list<int64>": self.wholes, "list<string>": self.texts, "list<float64>": self.reals,
        }  # fmt: skip
        return options[dtype](d) if dtype in options else self.make(dtype, 0)

    def leaf(self, dtype: str) -> str:
        """A constant of a type, or a name where the language has no constant of it."""
        rng = self.rng
        constants: dict[str, list[str]] = {
            "int64": ["0", "1", "3", "-2", "1000"], "float64": ["0.0", "0.5", "-1.5", "3.0"], "bool": ["True", "False"],
            "string": ["'a'", "'b'", "''", "'é'"], "list<int64>": ["[1, 2, 3]"], "list<float64>": ["[0.5, 2.0]"],
            "list<string>": ["['a', 'b']"], "decimal(2)": ["cast(1, 'decimal(2)')", "cast('2.5', 'decimal(2)')"],
            "timestamp": ["request.time"], "map<string,float64>": ["{'a': 0.5, 'b': 2.0}"],
            "vector<float64,3>": ["cast([0.5, 1.0, 2.0], 'vector<float64,3>')"],
        }  # fmt: skip
        return rng.choice(constants[dtype])

    def pick(self, options: list[str]) -> str:
        return self.rng.choice(options)

    def whole(self, d: int) -> str:
        make, n = self.make, self.rng.randrange(1, 9)
        i, j = make("int64", d), make("int64", d)
        return self.rng.choice(
            [
                lambda: f"({i} {self.pick(['+', '-', '*'])} {j})", lambda: f"({i} // {j})", lambda: f"({i} % {n})",
                lambda: f"abs({i})", lambda: f"-({i})", lambda: f"cast({make('string', d)}, 'int64')",
                lambda: f"cast({make('float64', d)}, 'int64')", lambda: f"cast({make('bool', d)}, 'int64')",
                lambda: f"len({make('list<string>', d)})", lambda: f"len({make('string', d)})",
                lambda: f"hour({make('timestamp', d)})",
                lambda: f"day_of_week({make('timestamp', d)}, 'Asia/Shanghai')",
                lambda: f"date_diff({make('timestamp', d)}, request.time, '{self.pick(['second', 'hour', 'day'])}')",
                lambda: f"hash_bucket({make('string', d)}, {n * 10})", lambda: f"num_bucket({i}, {n * 20})",
                lambda: f"bucketize({make('float64', d)}, buckets.b)",
                lambda: f"lookup_id({make('string', d)}, vocabularies.v, oov={n})",
                lambda: f"hit({make('string', d)}, {make('list<string>', d)})",
                lambda: f"element({make('list<int64>', d)}, {self.pick(['0', '1', j])})", lambda: f"min({i}, {j})",
                lambda: f"max({i}, {j}, {n})", lambda: f"clip({i}, -5, {n})", lambda: f"coalesce({i}, {j})",
                lambda: f"({i} if {make('bool', d)} else {j})", lambda: f"sum({make('list<int64>', d)})",
                lambda: f"combine({make('list<string>', d)}, {{'a': 1, 'b': 2}})",
                lambda: f"lookup({make('map<string,float64>', d)}, {make('list<string>', d)}, 'count')",
                lambda: f"edit_distance({make('string', d)}, {make('string', d)})",
                lambda: f"overlap({make('list<string>', d)}, {make('list<string>', d)}, 'contains')",
                lambda: f"cast({make('decimal(2)', d)}, 'int64')", lambda: f"max({make('list<int64>', d)})",
            ]
        )()  # fmt: skip

    def real(self, d: int) -> str:
        make, n = self.make, self.rng.randrange(1, 9)
        x, y = make("float64", d), make(self.pick(["float64", "int64"]), d)
        return self.rng.choice(
            [
                lambda: f"({x} {self.pick(['+', '-', '*', '/'])} {y})", lambda: f"({y} / {n}.0)", lambda: f"sqrt({x})",
                lambda: f"({x} // {n}.0)", lambda: f"({x} % {n}.0)", lambda: f"smooth({y}, {x}, 1.0, {n}.0)",
                lambda: f"zscore({x}, 0.5, {n}.0)", lambda: f"minmax({x}, {y}, {n})", lambda: f"-({x})",
                lambda: f"age({make('timestamp', d)})", lambda: f"mean({make('list<float64>', d)})",
                lambda: f"mean({make('list<int64>', d)})", lambda: f"variance({make('list<float64>', d)})",
                lambda: f"dot({make('vector<float64,3>', d)}, {make('vector<float64,3>', d)})",
                lambda: f"cosine({make('list<float64>', d)}, {make('list<float64>', d)})",
                lambda: f"kv_dot({make('map<string,float64>', d)}, {make('list<string>', d)})",
                lambda: f"lookup({make('map<string,float64>', d)}, {make('string', d)})",
                lambda: f"{self.pick(['round', 'floor', 'ceil', 'sign', 'abs'])}({x})",
                lambda: f"{self.pick(['log', 'log1p', 'exp', 'sigmoid'])}({x})", lambda: f"({x} ** {n})",
                lambda: f"clip({x}, -2.5, 7.5)", lambda: f"coalesce({x}, {y})", lambda: f"max({x}, {y})",
                lambda: f"({x} if {make('bool', d)} else {y})", lambda: f"cast({make('string', d)}, 'float64')",
                lambda: f"cast({make('decimal(2)', d)}, 'float64')", lambda: f"({make('decimal(2)', d)} / {n})",
                lambda: f"haversine({x}, {y}, 1.0, 2.0)", lambda: f"cast(cast({x}, 'float32'), 'float64')",
                lambda: f"overlap({make('list<string>', d)}, {make('list<string>', d)}, 'query_ratio')",
            ]
        )()  # fmt: skip

    def truth(self, d: int) -> str:
        make = self.make
        kind = self.pick(["int64", "float64", "decimal(2)"])
        return self.rng.choice(
            [
                lambda: f"({make(kind, d)} {self.pick(['<', '<=', '>', '>=', '==', '!='])} {make('float64', d)})",
                lambda: f"({make('int64', d)} < {make('int64', d)} <= 9)", lambda: f"(not {make('bool', d)})",
                lambda: f"({make('bool', d)} {self.pick(['and', 'or'])} {make('bool', d)})",
                lambda: f"is_null({make(self.pick([kind, 'string']), d)})",
                lambda: f"contains({make('string', d)}, 'a')",
                lambda: f"({make('string', d)} {self.pick(['in', 'not in'])} {make('list<string>', d)})",
                lambda: f"({make('int64', d)} in {make('list<int64>', d)})",
                lambda: f"({make('string', d)} == {make('string', d)})", lambda: f"cast({make('int64', d)}, 'bool')",
                lambda: f"({make('timestamp', d)} < request.time)",
            ]
        )()  # fmt: skip

    def text(self, d: int) -> str:
        make = self.make
        return self.rng.choice(
            [
                lambda: f"concat({make('string', d)}, '-', {make(self.pick(['string', 'int64', 'bool']), d)})",
                lambda: f"replace({make('string', d)}, 'a', 'bb')", lambda: f"normalize({make('string', d)})",
                lambda: f"join({make('list<string>', d)}, '|')", lambda: f"coalesce({make('string', d)}, 'none')",
                lambda: f"({make('string', d)} if {make('bool', d)} else 'no')",
                lambda: f"cast({make('int64', d)}, 'string')",
                lambda: f"element({make('list<string>', d)}, 0)", lambda: f"cast({make('decimal(2)', d)}, 'string')",
            ]
        )()  # fmt: skip

    def fixed(self, d: int) -> str:
        make = self.make
        a, b = make("decimal(2)", d), make(self.pick(["decimal(2)", "int64"]), d)
        return self.rng.choice(
            [
                lambda: f"({a} {self.pick(['+', '-'])} {b})", lambda: f"cast({a} * {b}, 'decimal(2)')",
                lambda: f"cast({make(self.pick(['int64', 'float64', 'string']), d)}, 'decimal(2)')",
                lambda: f"abs({a})", lambda: f"-({a})", lambda: f"max({a}, {b})", lambda: f"coalesce({a}, {b})",
                lambda: f"({a} % {b})", lambda: f"({a} if {make('bool', d)} else {b})", lambda: f"clip({a}, 0, 10)",
            ]
        )()  # fmt: skip

    def wholes(self, d: int) -> str:
        make = self.make
        return self.rng.choice(
            [
                lambda: f"sort({make('list<int64>', d)}, descending=True)", lambda: f"unique({make('list<int64>', d)})",
                lambda: f"top_k({make('list<int64>', d)}, 2)", lambda: f"slice({make('list<int64>', d)}, 1)",
                lambda: f"hash_bucket({make('list<string>', d)}, 50)",
                lambda: f"cast({make('list<string>', d)}, 'list<int64>')",
                lambda: f"lookup_id({make('list<string>', d)}, vocabularies.v)",
                lambda: f"bucketize({make('list<float64>', d)}, buckets.b)",
            ]
        )()  # fmt: skip

    def texts(self, d: int) -> str:
        make = self.make
        return self.rng.choice(
            [
                lambda: f"split({make('string', d)}, ' ')",
                lambda: f"combo({make('list<string>', d)}, {make('string', d)})",
                lambda: f"tokenize({make('string', d)})", lambda: f"unique({make('list<string>', d)})",
                lambda: f"sort({make('list<string>', d)})",
                lambda: f"cast({make('map<string,float64>', 0)}, 'list<string>')",
                lambda: f"overlap({make('list<string>', d)}, {make('map<string,float64>', 0)}, 'common')",
                lambda: f"steps('concat', split({make('string', d)}, ' '), '-', {make('string', d)})",
            ]
        )()  # fmt: skip

    def reals(self, d: int) -> str:
        make = self.make
        return self.rng.choice(
            [
                lambda: f"cast({make('list<int64>', d)}, 'list<float64>')", lambda: f"sqrt({make('list<float64>', d)})",
                lambda: f"lookup({make('map<string,float64>', 0)}, {make('list<string>', d)}, 'list')",
                lambda: f"slice({make('list<float64>', d)}, -2)", lambda: f"top_k({make('list<float64>', d)}, 3)",
                lambda: f"steps('smooth', sqrt({make('list<float64>', d)}), {make('float64', d)}, 1.0, 2.0)",
            ]
        )()  # fmt: skip
