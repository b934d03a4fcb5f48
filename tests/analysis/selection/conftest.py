"""What tests of selection look at."""

from __future__ import annotations

import pyarrow as pa
import pytest

from analysis.selection.view import flat_view
from tests.stores import sample_models, tables


@pytest.fixture(scope="module")
def flat() -> pa.Table:
    return flat_view(*tables(sample_models()))
