"""What settlement and the api both know of billing."""

CLOSING_LOCK = 7_310_188_002
"""Advisory lock: shared while a batch is settled, exclusive while a billing period is closed."""
