"""The production topology rehearsed on one Linux machine: a network namespace for each host, faults under load."""
