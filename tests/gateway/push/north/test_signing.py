"""Signatures against values computed with other tools."""

from __future__ import annotations

import subprocess

from gateway.push.north.signing import ctwing_signature, huawei_authorization, sdk_date
from gateway.push.products import CommandApi

TEMPLATE = CommandApi(url="https://x").signed_template


def test_ctwing_signs_application_time_parameters_and_body() -> None:
    """Against openssl over the text that the published SDKs sign."""
    text = b'application:dAaFG7DiPt8\ntimestamp:1515752817580\nMasterKey:cd35\ndeviceId:1\n{"a":1}\n'
    done = subprocess.run(
        "openssl dgst -sha1 -hmac key -binary | base64", shell=True, check=True, capture_output=True, input=text
    )  # fmt: skip
    parameters = {"deviceId": "1", "MasterKey": "cd35"}
    signed = ctwing_signature("key", "dAaFG7DiPt8", 1515752817580, parameters, b'{"a":1}', TEMPLATE, "sha1")
    assert signed == done.stdout.decode().strip()


def test_ctwing_signs_no_empty_body() -> None:
    with_line = ctwing_signature("key", "a", 1, {}, b"", TEMPLATE, "sha1")
    assert with_line == ctwing_signature(
        "key", "a", 1, {}, b"", "application:{application}\ntimestamp:{timestamp}\n", "sha1"
    )


def test_the_signed_text_can_be_corrected_by_configuration() -> None:
    other = ctwing_signature("key", "app", 5, {"MasterKey": "m"}, b"{}", "{timestamp}{application}{body}", "sha256")
    assert (
        other == "AwkdKObAWyfF9bMFf4h+c12OTD3g6y2+edA7PZ9wS4A="
    )  # printf '5app{}' | openssl dgst -sha256 -hmac key -binary | base64


def test_huawei_signs_method_path_headers_and_body() -> None:
    headers = {"Host": "iotda.example.com", "X-Sdk-Date": sdk_date(1_577_836_800)}
    said = huawei_authorization(
        "AK", "SK", "post", "https://iotda.example.com/v5/iot/p 1/devices?b=2&a=1", headers, b"{}"
    )
    assert said.startswith("SDK-HMAC-SHA256 Access=AK, SignedHeaders=host;x-sdk-date, Signature=")
    canonical = (
        b"POST\n/v5/iot/p%201/devices/\na=1&b=2\nhost:iotda.example.com\nx-sdk-date:20200101T000000Z\n\n"
        b"host;x-sdk-date\n44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    )
    digest = _openssl("-sha256", canonical)
    assert said.endswith(_openssl("-sha256 -hmac SK", f"SDK-HMAC-SHA256\n20200101T000000Z\n{digest}".encode()))


def _openssl(options: str, data: bytes) -> str:
    done = subprocess.run(f"openssl dgst {options}", shell=True, check=True, capture_output=True, input=data)
    return done.stdout.decode().strip().rpartition(" ")[2]
