import math

import pytest

from eqflow.study.runs.train import require_finite
from eqflow.training import TrainingError


@pytest.mark.parametrize("bad", [{"a": math.nan}, {"a": [1.0, math.inf]}])
def test_metrics_that_are_no_numbers_are_no_result(bad):
    with pytest.raises(TrainingError, match="expected finite metrics; got a = "):
        require_finite(bad)
    require_finite({"a": 1.0, "b": [0.5], "c": "exact", "d": 3})
