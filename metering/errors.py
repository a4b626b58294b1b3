"""Every error the platform raises on purpose.

NbwaterError                    base; `label` is the metric label, `coap` the CoAP code, `http` the HTTP status
├── SettingsError               the configuration cannot be used
├── StartError                  a program cannot start or serve (port taken, directory, version): exit code 1
│   ├── SchemaError             the database's schema is not the one this program knows
│   └── StreamContractError     a stream is not configured as DESIGN section 3.3 demands
├── EnvelopeError               bytes in the stream that are no envelope
├── DecodeError                 a payload that its decoder cannot read; `reason` is a short stable word
├── AdmissionError              a door refuses a report before custody; `reason` is the metric label
│   ├── RegistryNotLoadedError  which devices exist is not known yet
│   └── UnauthorisedError       no such device, or this sender may not speak for it
├── CustodyError                the stream did not take a report
│   ├── CustodyBusyError        too many reports wait already
│   ├── StreamFullError         it refused: back pressure
│   ├── SpoolFullError          neither the stream nor the local spool can take it
│   └── CustodyUnknownError     no answer in time: it may or may not be stored
├── CredentialError             a device key that cannot be opened or read; never says what it was
├── UnavailableError            a server this program works with is away
├── FencedError                 another worker holds the lease now
└── RequestError                a person's or program's request that cannot be done
    ├── NotFoundError
    ├── ConflictError
    └── ImportRowsError         rows of an import file; `rows` lists (line, column, message)
"""

from __future__ import annotations

from collections.abc import Sequence


class NbwaterError(Exception):
    label = "error"
    coap = "5.00"
    http = 500


class SettingsError(NbwaterError):
    label = "settings"


class StartError(NbwaterError):
    label = "start"


class SchemaError(StartError):
    label = "schema"


class StreamContractError(StartError):
    label = "stream_contract"


class EnvelopeError(NbwaterError):
    label = "envelope"


class DecodeError(NbwaterError):
    """`reason` is a short stable word for metrics and filters; the message tells a person what was seen."""

    label = "decode"
    coap = "4.00"
    http = 400

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class AdmissionError(NbwaterError):
    """`reason` is a short stable word for metrics; senders never see it, lest they learn which devices exist."""

    label = "admission"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class RegistryNotLoadedError(AdmissionError):
    label = "registry_not_loaded"
    coap = "5.03"
    http = 503


class UnauthorisedError(AdmissionError):
    label = "unauthorised"
    coap = "4.01"
    http = 401


class CustodyError(NbwaterError):
    label = "custody"
    coap = "5.03"
    http = 503


class CustodyBusyError(CustodyError):
    label = "custody_busy"


class StreamFullError(CustodyError):
    label = "stream_full"


class SpoolFullError(CustodyError):
    label = "spool_full"


class CustodyUnknownError(CustodyError):
    label = "custody_unknown"


class CredentialError(NbwaterError):
    label = "credential"
    coap = "4.01"
    http = 401


class UnavailableError(NbwaterError):
    label = "unavailable"
    coap = "5.03"
    http = 503


class FencedError(NbwaterError):
    label = "fenced"


class RequestError(NbwaterError):
    label = "request"
    coap = "4.00"
    http = 400


class NotFoundError(RequestError):
    label = "not_found"
    coap = "4.04"
    http = 404


class ConflictError(RequestError):
    label = "conflict"
    http = 409


class ImportRowsError(RequestError):
    """Rows of an import file that cannot be taken; nothing of the file was."""

    label = "import_rows"
    http = 422

    def __init__(self, rows: Sequence[tuple[int, str, str]]) -> None:
        super().__init__(f"{len(rows)} error{'s' if len(rows) != 1 else ''}, nothing was imported")
        self.rows = list(rows)
