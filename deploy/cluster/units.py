"""systemd units of the servers and programs. Pure text."""

from __future__ import annotations

from deploy.cluster.plan import Places

STATE_ROOT = "/var/lib/"

_TEMPLATE = """\
[Unit]
Description=nbwater {what}
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
{service}
User=nbwater
Restart=always
RestartSec=1
TimeoutStopSec=60
NoNewPrivileges=true
ProtectSystem=strict
ProtectHome=true
PrivateTmp=true
{more}
[Install]
WantedBy=multi-user.target
"""


def nats_unit(places: Places) -> str:
    return _TEMPLATE.format(
        what="stream (nats-server)",
        service=f"ExecStart={places.nats_server} -c {places.configuration}/nats.conf",
        more=f"ReadWritePaths={places.store}\nLimitNOFILE=65536\n",
    )


def program_unit(places: Places, program: str, environment: str = "") -> str:
    """`environment`: name of its file, where that is not the program's. A name with %i makes a template unit. Settings
    of the operator's own stand in PROGRAM.local.env, which nothing here writes."""
    file = environment or f"{program}.env"
    more = "AmbientCapabilities=CAP_NET_BIND_SERVICE\n" if program in ("gateway", "api") else ""
    if program == "gateway":
        more += _own_directory(places.gateway)
    return _TEMPLATE.format(
        what=f"{program} (partition %i)" if "%i" in file else program,
        service=f"EnvironmentFile={places.configuration}/{file}\n"
        f"EnvironmentFile=-{places.configuration}/{program}.local.env\n"
        f"ExecStart={places.nbwater} {program}",
        more=more,
    )


def _own_directory(path: str) -> str:
    """systemd makes what lies below /var/lib; another place is the operator's to make."""
    below = path.removeprefix(STATE_ROOT)
    return f"ReadWritePaths={path}\n" if below == path else f"StateDirectory={below}\nStateDirectoryMode=0700\n"
