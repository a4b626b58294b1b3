"""Lists of numbers in the settings of districts."""

import pytest
from pydantic import ValidationError

from metering.district_settings import DistrictSettings, numbers_of


def test_lists_are_ascending_numbers_within_their_bounds():
    assert numbers_of("1, 2,7", 1, 28) == (1, 2, 7)
    assert DistrictSettings(usual_days_ago="1, 3").usual_days == (1, 3)


@pytest.mark.parametrize("text", ["", "a", "2, 1", "1, 1", "0", "29", "1.5", ",".join(map(str, range(1, 27)))])
def test_others_are_refused(text):
    with pytest.raises(ValueError, match="number"):
        numbers_of(text, 1, 28)
    with pytest.raises(ValidationError, match="usual_days_ago"):
        DistrictSettings(usual_days_ago=text)
