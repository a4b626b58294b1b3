"""One file per payload format, its test vectors beside it."""
