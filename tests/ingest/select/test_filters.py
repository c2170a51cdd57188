import datetime

import pytest

from mixscale.ingest.select.filters import parse_filter

RECORD = {
    "text": "t",
    "n": 3,
    "score": "12",
    "flag": True,
    "none": None,
    "license": "BSD, 3-clause",
    "day": "2020-05-06T07:08:09Z",
    "moment": datetime.datetime(2020, 5, 6, 7, 8, 9),
    "tags": ["news", "sport", 3],
    "dotted.name": {"a": 1},
    "with space": "x",
    "packed": '{"language": "en", "inner": {"n": 2}}',
    "broken": "{not json",
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
        ("day >= 2020-05-06", True),
        ("day < 2020-05-06", False),
        ("day > 2019-12-31", True),
        ("day <= 2020-05-06", True),
        ("day >= 2020-05-06 07:09", False),
        ("moment >= 2020-05-06", True),
        ("moment < 2020-05-06T07:08:09", False),
        ("moment == 2020-05-06T07:08:09", True),
        ("n >= 2020-01-01", False),
        ("tags contains news", True),
        ("tags contains 3", True),
        ("tags contains new", False),
        ("tags not contains news", False),
        ("gone contains x", False),
        ("gone not contains x", True),
        ("license contains 'BSD,'", True),
        ("license matches ^BSD", True),
        (r"license matches '\d-clause$'", True),
        ("license not matches BSD", False),
        ("tags matches ^sp", True),
        ("n matches 3", False),
        ("dotted.name.a == 1", True),
        ('"dotted.name".a == 1', True),
        ('"with space" == x', True),
        ("packed.language == en", True),
        ("packed.inner.n >= 2", True),
        ("packed.gone exists", False),
        ("broken.a exists", False),
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
    [
        ("n matches (", "regular expression"),
        ("n in 3", "needs a list"),
        ("n < x", "numbers"),
        ('n in ["a, b]', "quote"),
    ],
)
def test_wrong_value(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_filter(text)
