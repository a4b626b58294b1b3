"""Our own detector on what the platform stores: which meters have news, their readings, the days, the alerts."""
