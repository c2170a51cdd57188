from pathlib import Path
from typing import Any

import pytest

from mixscale.ingest.readers.malformed import Empty, Malformed
from mixscale.ingest.readers.source_file import SourceFile, Unit
from mixscale.ingest.readers.text import read_lines, read_text


def unit(path: Path, data: bytes, **settings: Any) -> Unit:
    path.write_bytes(data)
    file = SourceFile(
        address=str(path), name="a", format="text", compression=None, size=len(data), version="",
        domain="d", **settings,
    )  # fmt: skip
    return Unit(file=file, start=0, end=None)


def texts(blocks: Any) -> list[Any]:
    found = [record for block in blocks for record in block]
    return [record["text"] if isinstance(record, dict) else type(record) for record in found]


@pytest.mark.parametrize(
    ("data", "separator", "expected"),
    [
        (b"\xef\xbb\xbfone\ntwo\n<|e|>\nthree\n<|e|>\n", "<|e|>", ["one\ntwo", "three"]),
        (b"a\n\nb\nc\n\n\nd", "\n\n", ["a", "b\nc", "d"]),
        (b"a<|e|><|e|>b", "<|e|>", ["a", Empty, "b"]),
        (b"a<|e|>\xff<|e|>c", "<|e|>", ["a", Malformed, "c"]),
        (b"", "<|e|>", []),
        ("über".encode(), "<|e|>", ["über"]),
        (b"one", None, ["one"]),
    ],
)
def test_texts_between_separators(
    tmp_path: Path, data: bytes, separator: str | None, expected: list[Any]
) -> None:
    assert texts(read_text(unit(tmp_path / "a", data, separator=separator))) == expected


def test_a_separator_may_lie_across_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mixscale.ingest.readers.decompress._PLAIN_READ_BYTES", 3)
    data = b"<|end|>".join(b"text %d" % n for n in range(50))
    found = texts(read_text(unit(tmp_path / "a", data, separator="<|end|>")))
    assert found == [f"text {n}" for n in range(50)]


def test_lines(tmp_path: Path) -> None:
    found = texts(read_lines(unit(tmp_path / "a", b"one\r\n\ntwo \xff\n three")))
    assert found == ["one", Empty, Malformed, " three"]


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "cp1252", "gb18030"])
def test_other_encodings(tmp_path: Path, encoding: str) -> None:
    text = "größe: é" * 1000
    found = unit(tmp_path / "a", text.encode(encoding), encoding=encoding)
    assert texts(read_text(found)) == [text]


def test_what_is_not_in_the_encoding_is_malformed(tmp_path: Path) -> None:
    assert texts(read_lines(unit(tmp_path / "a", b"a\n\x81\x81\nb", encoding="ascii"))) == [
        "a",
        Malformed,
        "b",
    ]
