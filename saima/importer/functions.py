"""The functions of extractors: what each is in our expressions, and what it wants of its arguments."""

from __future__ import annotations

from dataclasses import dataclass

INT, FLOAT, TEXT, TIME, RECORD = "int64", "float64", "string", "timestamp", "string"
INTS, FLOATS, TEXTS, FLAGS = "list<int64>", "list<float64>", "list<string>", "list<bool>"
MAP, NESTED = "map<string,float64>", "map<string,map<string,float64>>"
BUCKET, VOCABULARY, CONSTANT, ANY = "bucket", "vocabulary", "constant", "any"


@dataclass(frozen=True)
class Function:
    """A function of the dialect.

    template: our expression, `{0}` the first argument, `{rest}` all of them; wants: the type of a column that stands as
    each argument, or bucket, vocabulary, constant, any; least: how many are needed; the last may repeat if `many`.
    keeps: what it gives has the type of what it takes.
    """

    template: str
    wants: tuple[str, ...]
    least: int
    many: bool = False
    keeps: bool = False

    def want(self, place: int, result: str) -> str:
        """What an argument wants where the function's result is wanted as `result`."""
        wanted = self.wants[min(place, len(self.wants) - 1)]
        return result if self.keeps and wanted == ANY else wanted

    def fits(self, count: int) -> bool:
        """Whether so many arguments may be given."""
        return count >= self.least and (self.many or count <= len(self.wants))

    @property
    def arity(self) -> str:
        """How many arguments it takes, in words."""
        if self.many:
            return f"{self.least} or more arguments"
        most = len(self.wants)
        if most != self.least:
            return f"{self.least} to {most} arguments"
        return f"{most} argument{'' if most == 1 else 's'}"


def _plain(operator: str, *wants: str, least: int | None = None, many: bool = False) -> Function:
    return Function(f"{operator}({{rest}})", wants, len(wants) if least is None else least, many)


def _symbol(sign: str) -> Function:
    return Function(f"({{0}} {sign} {{1}})", (FLOAT, FLOAT), 2)


FUNCTIONS: dict[str, Function] = {
    # as they come
    "Copy": Function("{0}", (ANY,), 1, keeps=True),
    "Direct": Function("{0}", (ANY,), 1, keeps=True),
    "Coalesce": Function("coalesce({0}, {1})", (ANY, ANY), 2, keeps=True),
    "IsNull": _plain("is_null", ANY),
    # membership, packed records, places
    "StringHit": _plain("hit", TEXT, TEXTS),
    "LongHit": _plain("hit", INT, INTS),
    "IntHit": _plain("hit", INT, INTS),
    "RtFeature": _plain("slot", RECORD, CONSTANT),
    "ReadIntVec": _plain("element", INTS, INT),
    "ReadLongVec": _plain("element", INTS, INT),
    "ReadFloatVec": _plain("element", FLOATS, INT),
    "ReadDoubleVec": _plain("element", FLOATS, INT),
    "ReadStringVec": _plain("element", TEXTS, INT),
    # buckets and ids
    "Bucket": _plain("bucketize", FLOAT, BUCKET),
    "Long2ID": Function("lookup_id({0}, {2}, oov={1})", (INTS, CONSTANT, VOCABULARY), 3),
    "Int2ID": Function("lookup_id({0}, {2}, oov={1})", (INTS, CONSTANT, VOCABULARY), 3),
    "String2ID": Function("lookup_id({0}, {2}, oov={1})", (TEXTS, CONSTANT, VOCABULARY), 3),
    "HashBucket": _plain("hash_bucket", TEXT, CONSTANT),
    "NumBucket": _plain("num_bucket", INT, CONSTANT),
    "Combo": _plain("combo", TEXTS, least=1, many=True),
    "Cross": _plain("combo", TEXTS, least=1, many=True),
    # numbers
    "Smooth": _plain("smooth", FLOAT, FLOAT, CONSTANT, CONSTANT, CONSTANT, least=4),
    "Add": _symbol("+"),
    "Sub": _symbol("-"),
    "Mul": _symbol("*"),
    "Div": _symbol("/"),
    "Mod": _plain("mod", INT, INT),
    "Pow": _plain("pow", FLOAT, FLOAT),
    "Clip": _plain("clip", FLOAT, CONSTANT, CONSTANT),
    "ZScore": _plain("zscore", FLOAT, CONSTANT, CONSTANT),
    "MinMax": _plain("minmax", FLOAT, CONSTANT, CONSTANT),
    "Distance": _plain("haversine", FLOAT, FLOAT, FLOAT, FLOAT),
    **{
        name: _plain(name.lower(), FLOAT)
        for name in ("Log", "Log1p", "Log10", "Exp", "Sqrt", "Abs", "Sign", "Floor", "Ceil", "Round", "Sigmoid")
    },
    # time
    "Hour": _plain("hour", TIME, least=0),
    "DayOfWeek": _plain("day_of_week", TIME, least=0),
    "Age": _plain("age", TIME),
    "DateDiff": _plain("date_diff", TIME, TIME, CONSTANT),
    # lists and maps
    **{name: _plain(name.lower(), FLOATS) for name in ("Sum", "Mean", "Variance")},
    "Min": _plain("min", FLOAT, least=1, many=True),
    "Max": _plain("max", FLOAT, least=1, many=True),
    "Len": _plain("len", TEXTS),
    "Unique": _plain("unique", TEXTS),
    "TopK": _plain("top_k", FLOATS, CONSTANT),
    "Slice": _plain("slice", TEXTS, CONSTANT, CONSTANT),
    "Mask": _plain("mask", TEXTS, FLAGS),
    "Contains": _plain("contains", TEXTS, TEXT),
    "Lookup": _plain("lookup", MAP, TEXT, CONSTANT, least=2),
    "Match": _plain("match", NESTED, TEXT, TEXT),
    "KvDot": _plain("kv_dot", MAP, MAP),
    "Overlap": _plain("overlap", TEXTS, TEXTS, CONSTANT),
    "Dot": _plain("dot", FLOATS, FLOATS),
    "Cosine": _plain("cosine", FLOATS, FLOATS),
    "L2Norm": _plain("l2_norm", FLOATS),
    # text
    "Concat": _plain("concat", TEXT, least=1, many=True),
    "Split": _plain("split", TEXT, CONSTANT),
    "Join": _plain("join", TEXTS, CONSTANT),
    "Normalize": _plain("normalize", TEXT),
    "Tokenize": _plain("tokenize", TEXT, VOCABULARY, least=1),
    "EditDistance": _plain("edit_distance", TEXT, TEXT),
    "JsonGet": _plain("get", TEXT, CONSTANT, CONSTANT),
}
