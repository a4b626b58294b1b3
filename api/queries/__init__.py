"""Everything the api reads or decides in the database: typed functions that REST and pages both call."""
