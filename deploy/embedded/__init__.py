"""nats-server and PostgreSQL from PyPI packages, as child processes on a data directory."""
