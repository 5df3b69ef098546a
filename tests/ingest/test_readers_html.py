"""HTML and Markdown: what is visible, block by block."""

from pathlib import Path

import pytest

from ingest.errors import TooLarge
from ingest.readers import open_document
from ingest.readers.html import find_title, parse, visible_blocks


@pytest.mark.parametrize(
    ("markup", "blocks"),
    [
        ("<p>One <b>bold</b>\n   word.</p><p>Two.</p>", ["One bold word.", "Two."]),
        ("<h1>Head</h1>text<div>more</div>tail", ["Head", "text", "more", "tail"]),
        ("<p>a<br>b<br/>c</p>", ["a\nb\nc"]),
        ("<pre>def f():\n    return 1\n</pre>", ["def f():\n    return 1"]),
        ("<ul><li>a</li><li>b <i>c</i></li></ul>", ["a", "b c"]),
        (
            "<table><thead><tr><th>x</th> <th>y</th></tr></thead>"
            "<tr><td></td><td>1</td><td>2</td></tr></table>",
            ["x | y\n1 | 2"],
        ),
        ("<table><tr><td><p>a</p><p>b</p></td><td><p>c</p></td></tr></table>", ["a", "b", "c"]),
        ("<p>&lt;b&gt; &amp; &eacute; &#x263a;</p>", ["<b> & é ☺"]),
        ("a<!-- no --><script>no()</script><style>no{}</style>b", ["ab"]),
        ("<template><p>no</p></template><noscript>no</noscript><p>yes</p>", ["yes"]),
        ("<p hidden>no</p><p style='color:red; display : none'>no</p><p>yes</p>", ["yes"]),
        ("<head><title>no</title></head><body>yes</body>", ["yes"]),
        ("<title/><script src='x'/><p>yes <a id='y'/>indeed</p>", ["yes indeed"]),
        ("just words", ["just words"]),
        ("", []),
        ("<p> \n </p>", []),
        ("<p>never closed <div>bad </p>order", ["never closed", "bad order"]),
    ],
)
def test_visible_blocks(markup: str, blocks: list[str]) -> None:
    assert list(visible_blocks(parse(markup))) == blocks


@pytest.mark.filterwarnings("error")
def test_xhtml_and_its_declarations() -> None:
    markup = (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        '<!DOCTYPE html [<!ENTITY big "boo"><!ENTITY bang "&big;&big;">]>\n'
        '<html xmlns="http://www.w3.org/1999/xhtml"><head><title/></head>'
        "<body><p>text &bang;</p></body></html>"
    )
    assert list(visible_blocks(parse(markup))) == ["text &bang;"]


def test_entities_are_not_loaded_from_files(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hunter2")
    markup = f'<!DOCTYPE html [<!ENTITY x SYSTEM "{secret.as_uri()}">]><p>a &x; b</p>'
    assert list(visible_blocks(parse(markup))) == ["a &x; b"]


def test_nesting_of_any_depth() -> None:
    assert list(visible_blocks(parse("<div>" * 20_000 + "deep"))) == ["deep"]


@pytest.mark.parametrize(
    ("markup", "title"),
    [
        ("<title>A\n title</title><h1>Head</h1>", "A\n title"),
        ("<title> </title><h1>The <i>head</i></h1>", "The  head"),
        ("<p>none</p>", None),
    ],
)
def test_title(markup: str, title: str | None) -> None:
    assert find_title(parse(markup)) == title


@pytest.mark.parametrize(
    ("declared", "actual", "text"),
    [
        ("iso-8859-2", "iso-8859-2", "Zażółć gęślą jaźń"),
        ("windows-1251", "cp1251", "Все счастливые семьи"),
        ("shift_jis", "shift_jis", "吾輩は猫である"),
        ("latin-1", "utf-8", "Où étiez-vous, mère ?"),
        *((code, "cp1252", "Où étiez-vous, mère ?") for code in ("hex", "idna", "undefined")),
        *((f"utf-{n}", "cp1252", "Où étiez-vous, mère ?") for n in ("16", "16le", "32", "32be")),
        ("no-such-code", "cp1252", "Où étiez-vous l'été dernier, mère ?"),
    ],
)
def test_declared_encodings(tmp_path: Path, declared: str, actual: str, text: str) -> None:
    path = tmp_path / "page.html"
    path.write_bytes(f'<meta charset="{declared}"><p>{text}</p>'.encode(actual))
    with open_document(path) as document:
        assert [page.text for page in document.pages()] == [f"{text}\n"]


def test_a_page_in_utf16(tmp_path: Path) -> None:
    path = tmp_path / "page.htm"
    path.write_bytes("<h1>Naïve</h1><p>Où ?</p>".encode("utf-16"))
    with open_document(path) as document:
        assert document.title == "Naïve"
        assert [page.text for page in document.pages()] == ["Naïve\n\nOù ?\n"]


def test_long_pages_are_divided(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text("".join(f"<p>Paragraph {n} of the page.</p>" for n in range(1000)))
    with open_document(path) as document:
        pages = list(document.pages())
        assert document.page_count == len(pages) > 5
    text = "\n".join(page.text for page in pages)
    assert text == "\n\n".join(f"Paragraph {n} of the page." for n in range(1000)) + "\n"


MARKDOWN = """\
# The *Guide*

Some `code`, a [link](http://example.org/x), ![picture](p.png) and **bold**
text on two lines.

- one
- two

| a | b |
|---|---|
| 1 | 2 |

```python
if x:
    y()
```

<script>no()</script>

Less < more & &eacute;
"""


def test_a_page_too_large_to_parse_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.readers.html.MARKUP_BYTES", 2**20)
    (tmp_path / "page.html").write_text("<i>a</i>" * 2**17 + "!")
    with pytest.raises(TooLarge, match="more than 1 MB of markup"):
        open_document(tmp_path / "page.html")


def test_markdown_keeps_the_text_of_deep_lists(tmp_path: Path) -> None:
    path = tmp_path / "outline.md"
    path.write_text("".join(f"{'  ' * level}- item{level}\n" for level in range(60)))
    with open_document(path) as document:
        text = "".join(page.text for page in document.pages())
    assert text.split() == [f"item{level}" for level in range(60)]


def test_markdown(tmp_path: Path) -> None:
    path = tmp_path / "guide.md"
    path.write_text(MARKDOWN)
    with open_document(path) as document:
        assert document.title == "The Guide"
        (page,) = document.pages()
    assert page.text.split("\n\n") == [
        "The Guide",
        "Some code, a link, and bold text on two lines.",
        "one",
        "two",
        "a | b\n1 | 2",
        "if x:\n    y()",
        "Less < more & é\n",
    ]
