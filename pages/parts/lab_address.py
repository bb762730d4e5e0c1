"""What an address of the Search lab says: the question, the profile with what was changed of it, and a comparison."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any
from uuid import UUID

from rag.errors import InvalidInput
from rag.retrieval.profiles import RetrievalProfile

#: Before the names of what the other side of a comparison has.
_OTHER = "vs_"
_NONE = "none"
#: Most documents that an address names, and most characters of a question in it.
MAX_DOCUMENTS = 50
MAX_QUESTION = 2000
#: The page's own words for the modes are understood too.
_MODES = {"meaning": "dense", "words": "lexical"}


@dataclass(frozen=True, slots=True)
class Side:
    """One way to search: a saved profile, and what is set in place of its own settings.

    Without a name it is the collection's default, without a version the newest, without an index the active one.
    """

    profile: str | None = None
    version: int | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    index: int | None = None

    def apply(self, profile: RetrievalProfile) -> RetrievalProfile:
        """``profile`` with the changes in place of its own settings."""
        return RetrievalProfile.from_json(profile.to_json() | dict(self.changes))


@dataclass(frozen=True, slots=True)
class View:
    """Everything that a link to the lab reproduces, but for the collection.

    ``documents`` empty means all; ``scope`` is the id of a selection that is searched, None for everything.
    """

    question: str = ""
    side: Side = field(default_factory=Side)
    other: Side | None = None
    documents: tuple[UUID, ...] = ()
    scope: int | None = None


def lab_query(
    collection_id: UUID,
    question: str,
    profile: RetrievalProfile | str | Side | None = None,
    other: RetrievalProfile | str | Side | None = None,
    index_id: int | None = None,
    other_index_id: int | None = None,
    scope: int | None = None,
) -> dict[str, str]:
    """The query parameters that open the lab with this question, for ``st.page_link("pages/search.py", …)``.

    A profile is a saved one's name, or a :class:`RetrievalProfile` whose every setting is then written out, so that
    the link means the same whatever becomes of the saved ones. None is the collection's default, and as ``other`` no
    comparison. ``scope`` is the id of a selection that alone is searched.
    """
    beside = None if other is None else _to_side(other, other_index_id)
    view = View(question, _to_side(profile, index_id), beside, scope=scope)
    return {"collection": str(collection_id)} | write_view(view)


def _to_side(profile: RetrievalProfile | str | Side | None, index_id: int | None) -> Side:
    if isinstance(profile, Side):
        return profile
    if isinstance(profile, RetrievalProfile):
        return Side(changes=profile.to_json(), index=index_id)
    return Side(profile=profile, index=index_id)


def write_view(view: View) -> dict[str, str]:
    """The view as query parameters; what is as usual is left out."""
    query = {"q": view.question[:MAX_QUESTION]} if view.question else {}
    query |= _write_side(view.side, "")
    if view.other is not None:
        # Even a side without anything of its own must be seen to be there.
        query |= _write_side(view.other, _OTHER) or {f"{_OTHER}index": "active"}
    if view.documents:
        query["only"] = ",".join(str(document) for document in view.documents[:MAX_DOCUMENTS])
    if view.scope is not None:
        query["scope"] = str(view.scope)
    return query


def _write_side(side: Side, prefix: str) -> dict[str, str]:
    query = {}
    if side.profile is not None:
        query[f"{prefix}profile"] = side.profile
        if side.version is not None:
            query[f"{prefix}version"] = str(side.version)
    for name, value in side.changes.items():
        query[prefix + name] = _NONE if value is None else repr(value) if isinstance(value, float) else str(value)
    if side.index is not None:
        query[f"{prefix}index"] = str(side.index)
    return query


def read_view(query: Mapping[str, str]) -> tuple[View, list[str]]:
    """The view that an address names, and a sentence for each thing in it that can't be meant.

    Never raises: whatever somebody typed there, the rest of it still counts.
    """
    problems: list[str] = []
    question = query.get("q", "").replace("\x00", " ").strip()
    if len(question) > MAX_QUESTION:
        problems.append(f"The question in the address was cut to its first {MAX_QUESTION:,} characters.")
    named = [name for name in query if name.startswith(_OTHER) and name.removeprefix(_OTHER) in lab_keys()]
    view = View(
        question[:MAX_QUESTION],
        _read_side(query, "", problems),
        _read_side(query, _OTHER, problems) if named else None,
        _read_documents(query.get("only", ""), problems),
        _read_number(query, "scope", 2**63, problems),
    )
    return view, problems


def _read_side(query: Mapping[str, str], prefix: str, problems: list[str]) -> Side:
    changes = {}
    for setting, parse in _PARSERS.items():
        text = query.get(prefix + setting)
        if text is None:
            continue
        try:
            changes[setting] = parse(text.strip())
            RetrievalProfile.from_json({setting: changes[setting]})
        except (ValueError, OverflowError):
            changes.pop(setting, None)
            problems.append(_refuse(setting, text))
        except InvalidInput as error:
            changes.pop(setting)
            problems.append(f"{_refuse(setting, text)} {error}")
    index = query.get(f"{prefix}index")
    name = query.get(f"{prefix}profile", "").strip()[:80].strip() or None
    return Side(
        name,
        _read_number(query, f"{prefix}version", 2**31, problems) if name else None,
        changes,
        None if index == "active" else _read_number(query, f"{prefix}index", 2**63, problems),
    )


def _read_number(query: Mapping[str, str], name: str, limit: int, problems: list[str]) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    if text.isascii() and text.isdigit() and len(text) < 20 and 0 < int(text) < limit:
        return int(text)
    problems.append(_refuse(name, text))
    return None


def _read_documents(text: str, problems: list[str]) -> tuple[UUID, ...]:
    documents = []
    for part in filter(None, text.split(",")):
        try:
            documents.append(UUID(part.strip()))
        except ValueError:
            problems.append("The address names a document that can't be one; the others count.")
            break
    return tuple(dict.fromkeys(documents))[:MAX_DOCUMENTS]


def _refuse(name: str, text: str) -> str:
    shown = text if len(text) <= 40 else f"{text[:40]}…"
    return f"The address says {name}={shown}, which can't be used; the profile's own is."


def _read_mode(text: str) -> str:
    return _MODES.get(text.lower(), text.lower())


def _read_float(text: str) -> float | None:
    return None if text.lower() == _NONE else float(text)


def _read_text(text: str) -> str | None:
    return None if text.lower() in ("", _NONE) else text[:500]


_BY_TYPE: dict[str, Callable[[str], Any]] = {"int": int, "float": float, "float | None": _read_float}
#: How each setting of a profile is read from an address.
_PARSERS: dict[str, Callable[[str], Any]] = {
    one.name: _read_mode if one.name == "mode" else _BY_TYPE.get(str(one.type), _read_text)
    for one in fields(RetrievalProfile)
}


def lab_keys() -> Sequence[str]:
    """The names that a side has in an address, without prefix."""
    return ("profile", "version", "index", *_PARSERS)


def is_lab_key(name: str) -> bool:
    """Whether a query parameter is the lab's own."""
    return name in ("q", "only", "scope") or name.removeprefix(_OTHER) in lab_keys()
