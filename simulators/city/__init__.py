"""A whole city: districts, cells, meters and known faults, to files or through the doors."""
