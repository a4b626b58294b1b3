"""CoAP (RFC 7252): a fast lane for single-datagram reports and an aiocoap lane for everything else, on one port."""
