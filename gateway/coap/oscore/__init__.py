"""OSCORE (RFC 8613): reports protected end to end, each in one datagram, without a session. Bytes in, bytes out."""
