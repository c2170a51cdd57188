import pytest

from mixscale.ingest.select.filters import parse_filter

RECORD = {
    "text": "t",
    "n": 3,
    "score": "12",
    "flag": True,
    "none": None,
    "license": "BSD, 3-clause",
    "quoted": "O'Reilly",
    "meta": {"language": "en", "tags": {"a b": "x == y"}},
}


@pytest.mark.parametrize(
    ("text", "accepts"),
    [
        ("meta.language == en", True),
        ("meta.language==en", True),
        ("meta.language == 'en'", True),
        ("meta.language != en", False),
        ("meta.language == de", False),
        ("meta.language in [de, en]", True),
        ("meta.language not in [de, en]", False),
        ("meta.language not in [de, fr]", True),
        ("meta.missing == en", False),
        ("meta.missing != en", True),
        ("meta.missing not in [en]", True),
        ("meta.missing missing", True),
        ("meta.language exists", True),
        ("meta.language missing", False),
        ("meta.language.deeper exists", False),
        ("none exists", True),
        ("none == null", True),
        ("n == 3", True),
        ("n == '3'", False),
        ("n >= 3", True),
        ("n > 3", False),
        ("n < 3.5", True),
        ("score == 12", True),
        ("score >= 10", True),
        ("score < 2", False),
        ("meta.language > 1", False),
        ("flag == true", True),
        ("flag == 1", False),
        ("n == true", False),
        ("flag > 0", False),
        ('license in ["BSD, 3-clause", mit]', True),
        ("license in ['BSD, 3-clause']", True),
        ('license == "BSD, 3-clause"', True),
        ('license not in [mit, "BSD, 3-clause", x]', False),
        ("license in [BSD, 3-clause]", False),
        ('quoted in [O\'Reilly, "a ] b"]', True),
        ("n in [ 1 , 3, ]", True),
        ("n in []", False),
    ],
)
def test_filter(text: str, accepts: bool) -> None:
    assert parse_filter(text).accepts(RECORD) is accepts


@pytest.mark.parametrize(
    "text",
    [
        "",
        "meta.language",
        "== en",
        "meta.language = en",
        "meta.language ~ en",
        "n ==",
        "n exists 3",
    ],
)
def test_unknown_syntax_names_the_operators(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a filter; .*==, !=, <"):
        parse_filter(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [("n in 3", "needs a list"), ("n < x", "numbers"), ('n in ["a, b]', "quote")],
)
def test_wrong_value(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_filter(text)
