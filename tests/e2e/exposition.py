"""A strict reader of Prometheus' text format 0.0.4 (prometheus.io/docs/instrumenting/exposition_formats)."""
import re

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"'
SAMPLE = re.compile(rf"({NAME})(?:\{{((?:{LABEL})(?:,{LABEL})*)\}})? (NaN|[+-]Inf|[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)\Z")
SUFFIXES = {"summary": {"_sum", "_count"}, "histogram": {"_sum", "_count", "_bucket"}, "counter": {""}, "gauge": {""}}


def read(text):
    """{(name, ((label, value), ..)): number}; AssertionError for whatever a server would refuse or mistake."""
    assert text.endswith("\n"), "the last line has no end"
    family, kinds, helps, samples = None, {}, set(), {}
    for n, line in enumerate(text[:-1].split("\n"), 1):
        where = f"line {n}: {line[:200]}"
        if line.startswith("# HELP "):
            family = line.split(" ")[2]
            assert re.fullmatch(NAME, family) and family not in helps and len(line.split(" ", 3)) == 4, where
            helps.add(family)
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name == family and name not in kinds and kind in SUFFIXES, where
            kinds[name] = kind
        else:
            m = SAMPLE.match(line)
            assert m, where
            assert family in kinds and any(m[1] == family + s for s in SUFFIXES[kinds[family]]), "not of the family above it, " + where
            labels = tuple(sorted((k, v) for k, v in re.findall(LABEL, m[2] or "")))
            assert len({k for k, _ in labels}) == len(labels), "a label twice, " + where
            assert (m[1], labels) not in samples, "twice, " + where
            value = float(m[m.lastindex].replace("Inf", "inf"))
            assert kinds[family] == "gauge" or value >= 0, where
            samples[m[1], labels] = value
    for name, kind in kinds.items():
        assert kind != "counter" or name.endswith("_total"), name
        if kind == "summary":
            sums = {labels for n, labels in samples if n == name + "_sum"}
            assert sums == {labels for n, labels in samples if n == name + "_count"}, name
    assert helps == set(kinds)
    return samples
