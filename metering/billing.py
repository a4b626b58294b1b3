"""What settlement and the api both know of billing."""

from datetime import timedelta

CLOSING_LOCK = 7_310_188_002
"""Advisory lock: shared while a batch is settled, exclusive while a billing period is closed."""

REPORTED_WITHIN = timedelta(days=3)
"""A meter tells its settlement index with each report; those of so long after that midnight are looked at."""
