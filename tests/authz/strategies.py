"""Scopes of every kind: usable, unusable, and nearly usable."""

from __future__ import annotations

from hypothesis import strategies as st

from licet.authz.families import DEFAULT_FAMILIES
from licet.authz.scope import Scope

PAIRS = sorted(
    (name, action) for name, family in DEFAULT_FAMILIES.known.items() for action in family.actions
)
IDS = ("a", "b", "c d", "*", "")


def identifiers() -> st.SearchStrategy[str]:
    """Ids that can stand in a scope."""
    return st.text(min_size=1).filter(
        lambda text: text.isprintable() and text == text.strip() and not set(text) & set(":*/")
    )


@st.composite
def scopes(draw: st.DrawFn) -> Scope:
    """Scopes that grant something."""
    name, action = draw(st.sampled_from(PAIRS))
    if not DEFAULT_FAMILIES.known[name].has_ids:
        return Scope(name, action)
    return Scope(name, action, draw(st.none() | identifiers()))


def scope_texts() -> st.SearchStrategy[str]:
    """Texts that are scopes, or nearly; the same few words again and again."""
    names = st.sampled_from([*DEFAULT_FAMILIES.known, "system", "unicorns", "agent_os", ""])
    actions = st.sampled_from(["read", "run", "write", "delete", "admin", "*", ""])
    ids = st.sampled_from(IDS)
    return st.one_of(
        st.builds("{}:{}".format, names, actions),
        st.builds("{}:{}:{}".format, names, ids, actions),
        scopes().map(str),
    )
