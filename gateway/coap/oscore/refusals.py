"""How protected requests are refused. Pure."""

from __future__ import annotations

from gateway.coap import message as coap
from gateway.coap.refusal import Refusal

NOT_DECODED = Refusal(coap.BAD_OPTION, "oscore_option", None, b"Failed to decode COSE")
NO_CONTEXT = Refusal(coap.UNAUTHORIZED, "oscore_context", None, b"Security context not found")
REPLAYED = Refusal(coap.UNAUTHORIZED, "oscore_replay", None, b"Replay detected")
NOT_DECRYPTED = Refusal(coap.BAD_REQUEST, "oscore_decryption", None, b"Decryption failed")
"""With the diagnostics of RFC 8613 section 8.2; these four are not protected, for nobody is known to have asked."""

UNREADABLE = Refusal(coap.BAD_REQUEST, "oscore_inner_message")
UNKNOWN_NAME = Refusal(coap.NOT_FOUND, "oscore_unknown_name")
FOREIGN_NAME = Refusal(coap.UNAUTHORIZED, "oscore_foreign_name")
