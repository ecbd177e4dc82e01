from __future__ import annotations

from tests.support.local_model import load_and_close, needs_model


@needs_model
def test_a_model_that_is_closed_as_soon_as_it_is_loaded_ends_each_time() -> None:
    load_and_close(times=50, within_seconds=500)
