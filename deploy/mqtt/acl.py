"""Access lists that tie each meter to its own two topics, for brokers that stand in front. Pure text.

The login of a meter is its device's name; the gateways' login hears all meters and publishes to all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gateway.mqtt.topics import ALL_UP, ROOT, down, up

GATEWAY_USER = "nbwater"
ALL_DOWN = f"{ROOT}/+/down"


def mosquitto(gateway_user: str) -> str:
    """For `acl_file`. Patterns hold for every login, and reach only its own level."""
    return f"""\
# made by `nbwater mqtt acl --broker mosquitto`
user {gateway_user}
topic read {ALL_UP}
topic write {ALL_DOWN}

pattern write {up("%u")}
pattern read {down("%u")}
"""


def emqx(gateway_user: str) -> str:
    """For `authorization.sources` of type file, with `authorization.no_match = deny`."""
    return f"""\
%% made by `nbwater mqtt acl --broker emqx`
{{allow, {{username, "{gateway_user}"}}, subscribe, ["{ALL_UP}"]}}.
{{allow, {{username, "{gateway_user}"}}, publish, ["{ALL_DOWN}"]}}.
{{allow, all, publish, ["{up("${username}")}"]}}.
{{allow, all, subscribe, ["{down("${username}")}"]}}.
{{deny, all}}.
"""


LISTS: Mapping[str, Callable[[str], str]] = {"mosquitto": mosquitto, "emqx": emqx}
SHIPPED: Mapping[str, str] = {"mosquitto": "mosquitto.acl", "emqx": "emqx.acl.conf"}
"""Files beside this one, with GATEWAY_USER."""
