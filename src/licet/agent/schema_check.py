"""Whether a value fits a JSON schema, found out in a bounded number of steps.

A schema may be a client's: a few lines in which each reference is followed twice would otherwise
keep the server busy for years.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from functools import lru_cache
from itertools import islice
from typing import Any

from licet.errors import OutputSchemaError

MAX_STEPS = 50_000
"""Applications of one keyword to one value."""

_MAX_PROBLEMS = 5
_MAX_PROBLEM_CHARS = 200

_steps_left: ContextVar[Iterator[int]] = ContextVar("steps_left")


def schema_problems(schema: Mapping[str, Any], value: Any) -> list[str]:
    """What does not fit, the first few of it; empty: the value fits.

    Raises:
        OutputSchemaError: the schema takes too long to follow, or refers to nothing.
    """
    # Imported here: only agents with a JSON schema pay for it.
    from referencing.exceptions import Unresolvable

    token = _steps_left.set(iter(range(MAX_STEPS)))
    try:
        errors = islice(_validator()(schema).iter_errors(value), _MAX_PROBLEMS)
        return [f"{error.json_path}: {error.message[:_MAX_PROBLEM_CHARS]}" for error in errors]
    except RecursionError:
        raise OutputSchemaError("The schema's references lead in circles") from None
    except Unresolvable as error:
        raise OutputSchemaError(f"The schema refers to nothing with {error.ref[:80]!r}") from None
    finally:
        _steps_left.reset(token)


@lru_cache(maxsize=1)
def _validator() -> Any:
    """JSON schema 2020-12 whose keywords count their steps."""
    from jsonschema import Draft202012Validator
    from jsonschema.validators import extend

    keywords = Draft202012Validator.VALIDATORS.items()
    counted = {name: _counted(check) for name, check in keywords}
    return extend(Draft202012Validator, counted)  # type: ignore[no-untyped-call]  # theirs


def _counted(check: Callable[..., Any]) -> Callable[..., Iterator[Any]]:
    def counted(validator: Any, keyword: Any, instance: Any, schema: Any) -> Iterator[Any]:
        if next(_steps_left.get(), None) is None:
            raise OutputSchemaError(f"The schema takes more than {MAX_STEPS} steps to follow")
        yield from check(validator, keyword, instance, schema) or ()

    return counted
