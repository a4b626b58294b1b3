"""Local time of the towns and recordings that are played: China's, which has had no summer time since 1991."""

HOUR_S = 3_600
DAY_S = 86_400
UTC_OFFSET_S = 8 * HOUR_S
