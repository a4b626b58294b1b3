"""Runs every vector that lies beside a decoder."""

import json
from pathlib import Path

import pytest

import ingest.decoders as decoders
from ingest.decoders import STANDARD, decode
from metering.errors import DecodeError

FOLDER = Path(decoders.__file__).parent
FILES = sorted(FOLDER.glob("*.json"))
VECTORS = [(path.stem, vector) for path in FILES for vector in json.loads(path.read_text())["vectors"]]


@pytest.mark.parametrize(("name", "vector"), VECTORS, ids=[f"{name}: {vector['why'][:60]}" for name, vector in VECTORS])
def test_vector(name, vector):
    file = json.loads((FOLDER / f"{name}.json").read_text())
    payload = bytes.fromhex(vector["hex"]) if "hex" in vector else vector["text"].encode()
    received_at_s = vector.get("received_at_s", file["received_at_s"])
    if "error" in vector["expected"]:
        with pytest.raises(DecodeError) as caught:
            decode(file["content_format"], payload, received_at_s)
        assert caught.value.reason == vector["expected"]["error"]
        return
    decoder, report = decode(file["content_format"], payload, received_at_s)
    readings = {"ts_s": list(report.ts_s), "index_ml": list(report.index_ml)}
    seen = report._asdict() | readings | {"state": report.state._asdict()}
    seen.update({key: value for key, value in seen.pop("state").items() if key not in seen})
    assert decoder == name
    for key, value in vector["expected"].items():
        assert seen[key] == value, key


@pytest.mark.parametrize("name", [decoder.name for group in STANDARD.table.values() for decoder in group])
def test_every_decoder_has_a_normal_an_edge_and_a_malformed_vector(name):
    kinds = {vector["kind"] for stem, vector in VECTORS if stem == name}
    assert kinds == {"normal", "edge", "malformed"}
