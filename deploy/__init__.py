"""Assembles the programs: command line, embedded servers, process supervision."""
