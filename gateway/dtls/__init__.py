"""CoAP over DTLS 1.2 with pre-shared keys (RFC 6347, RFC 4279, RFC 7925).

The handshake is another library's, behind `engine`; from its end on the gateway holds nothing but keys and counters.
"""
