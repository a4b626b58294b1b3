"""Version of the database schema that every program of this release knows: the number of its newest migration."""

SCHEMA_VERSION = 18
