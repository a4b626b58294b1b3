#!/usr/bin/env bash
# Brings the foreign programs that tests drive: CoAP and MQTT clients, an MQTT broker, Chromium with Chinese glyphs, and
# the WebAssembly TimescaleDB. What cannot be had is said, and its tests are skipped aloud.
set -euo pipefail
cd "$(dirname "$0")/.."

missing=()
command -v coap-client-notls >/dev/null || missing+=(libcoap3-bin)
command -v chromium >/dev/null || command -v chromium-browser >/dev/null || missing+=(chromium)
command -v mosquitto >/dev/null || [ -x /usr/sbin/mosquitto ] || missing+=(mosquitto)
command -v mosquitto_pub >/dev/null || missing+=(mosquitto-clients)
if command -v fc-list >/dev/null; then
  [ -n "$(fc-list :lang=zh 2>/dev/null | head -1)" ] || missing+=(fonts-noto-cjk)
else
  [ -d /usr/share/fonts/opentype/noto ] || missing+=(fonts-noto-cjk)
fi

if [ ${#missing[@]} -gt 0 ]; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing for the tests: ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update -qq && apt-get install -qq -y --no-install-recommends "${missing[@]}"; } >/tmp/nbwater-apt.log 2>&1 \
      || { tail -3 /tmp/nbwater-apt.log >&2; echo "NOT INSTALLED: ${missing[*]}; their tests will be skipped" >&2; }
  else
    echo "NOT INSTALLED: ${missing[*]}; their tests will be skipped (apt install them to run these)" >&2
  fi
fi

.venv/bin/python tests/timescale/install.py >/dev/null \
  || echo "NOT INSTALLED: the WebAssembly TimescaleDB; its tests will be skipped" >&2
