"""The database schema as forward-only migrations, for plain PostgreSQL and for TimescaleDB."""
