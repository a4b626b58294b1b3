"""What operators see: REST and pages. Reads the database; writes only what people decide."""
