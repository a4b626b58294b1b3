"""The settlement program: what stored readings mean (days, leaks), who fell silent, and what may be forgotten."""
