"""What the lists of a health check are called, what they look for, and what they say when there is nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from pages.parts.words import count
from rag.health.differences import Differences
from rag.health.health_checks import Drift
from rag.reading.languages import language_name

ListName = Literal["duplicates", "repeat", "outlier", "short", "long", "language", "unretrieved"]
LISTS: tuple[ListName, ...] = get_args(ListName)

PHASE_WORDS = {
    "reading": "Reading the passages",
    "duplicates": "Comparing them",
    "lengths": "Measuring them",
    "languages": "Telling languages apart",
    "boilerplate": "Looking for what documents repeat",
    "outliers": "Finding each one's neighbours",
    "questions": "Looking through the runs",
    "saving": "Saving",
}


@dataclass(frozen=True)
class Words:
    """One list: its title, its icon, and one and many of what it holds."""

    title: str
    icon: str
    one: str
    many: str


WORDS: dict[ListName, Words] = {
    "duplicates": Words("Near-duplicates", "content_copy", "group of near-duplicates", "groups of near-duplicates"),
    "repeat": Words("Boilerplate", "repeat", "text that documents repeat", "texts that documents repeat"),
    "outlier": Words(
        "Far from everything", "scatter_plot", "passage far from everything", "passages far from everything"
    ),
    "short": Words("Very short", "short_text", "very short passage", "very short passages"),
    "long": Words("Very long", "notes", "very long passage", "very long passages"),
    "language": Words("Other language", "translate", "passage in another language", "passages in another language"),
    "unretrieved": Words(
        "Never found", "search_off", "document that no question found", "documents that no question found"
    ),
}

#: What a score of two passages is, in words.
MEASURE = (
    "Of all three-word phrases in either passage, the share that is in both (the Jaccard index of word 3-shingles)."
    " Case and punctuation don't count, and phrases end with their sentence: the same sentences in another order, or"
    " with other spaces between the words, have everything in common."
)


def headline(counts: Mapping[ListName, int]) -> tuple[str, str]:
    """``3 things worth a look`` and which these are."""
    there = [name for name in LISTS if counts.get(name)]
    if not there:
        return "Nothing to worry about", ""
    parts = [count(counts[name], WORDS[name].one, WORDS[name].many) for name in there]
    title = "One thing worth a look" if len(there) == 1 else f"{len(there)} things worth a look"
    return title, f"{', '.join(parts[:-1])} and {parts[-1]}." if len(parts) > 1 else f"{parts[0]}."


def explain(name: ListName, figures: Mapping[str, Any]) -> str:
    """What this list looks for, with the limits that held at this check, as Markdown."""
    match name:
        case "duplicates":
            return (
                "Passages that say almost the same. In each group, every passage resembles the first one at least that"
                " much, so nothing gets in by a chain of small differences."
            )
        case "repeat":
            return (
                f"Sentences, lines and blocks of them that {figures.get('repeat_documents', 3)} documents or more"
                " repeat; figures in them may differ, as in page numbers."
                " What only near-duplicates share is told there."
            )
        case "outlier":
            how = "" if figures.get("neighbours_exact", True) else ", found approximately"
            return (
                f"Passages whose ten nearest neighbours{how} are farther off than"
                f" {figures.get('outlier_limit', 0):.2f} on average (cosine distance); in the middle it is"
                f" {figures.get('outlier_median', 0):.2f}."
            )
        case "short":
            return (
                f"Passages of {figures.get('short_limit', 0):.0f} words or less; in the middle they have"
                f" {figures.get('median_words', 0):.0f}."
            )
        case "long":
            return (
                f"Passages of {figures.get('long_limit', 0):.0f} words or more, or with more tokens than the"
                f" {figures.get('window', 0):,} that the model reads; in the middle they have"
                f" {figures.get('median_words', 0):.0f} words."
            )
        case "language":
            return _explain_languages(figures)
        case "unretrieved":
            return (
                "Documents of which no passage was among those returned for any of"
                f" {count(figures.get('questions', 0), 'question')}, in {count(figures.get('runs', 0), 'run')} of"
                " Evaluate. Documents that came after the last run are left out."
            )


def _explain_languages(figures: Mapping[str, Any]) -> str:
    own = [language_name(code) for code in figures.get("own_languages", [])]
    if not own:
        return "No passage was long enough to tell its language."
    return f"Passages of twelve words or more that are not in {' or '.join(own)}, as the rest is."


def nothing(name: ListName, figures: Mapping[str, Any], threshold: float) -> str:
    """What was looked at in vain, in one sentence."""
    passages, documents = count(figures.get("passages", 0), "passage"), count(figures.get("documents", 0), "document")
    match name:
        case "duplicates":
            return (
                f"No two of {passages} have {threshold:.0%} of their phrases in common, or each such group is settled."
            )
        case "repeat":
            return f"Nothing that would be in search is repeated by enough of {documents}."
        case "outlier":
            return f"None of {passages} is far from everything else."
        case "short" | "long":
            return f"None of {passages} is too {name}."
        case "language":
            return f"Of {passages}, none is in another language than the rest."
        case "unretrieved":
            return f"Each of {documents} was found by some question."


def describe_drift(drift: Drift) -> str:
    """What changed since the check."""
    if drift.documents_now != drift.documents_then:
        changed = f"then {count(drift.documents_then, 'document')}, now {drift.documents_now:,}"
    elif drift.passages_now != drift.passages_then:
        changed = f"then {count(drift.passages_then, 'passage')}, now {drift.passages_now:,}"
    else:
        changed = "some documents have another text"
    return f"The corpus has changed since: {changed}. What is gone is not shown; what is new was not looked at."


def describe_copy(differences: Differences) -> str:
    """What kind of copy it is."""
    match differences.kind:
        case "same":
            return "The same to the letter."
        case "whitespace":
            return "Only spaces and line breaks differ."
        case "punctuation":
            return "Only case or punctuation differs."
        case "order":
            return "The same sentences in another order."
        case "words":
            number = differences.words
            return "One word differs." if number == 1 else f"{number:,} words differ."
