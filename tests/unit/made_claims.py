"""Claims as `reproduce` writes them, made up: one of each verdict, one of them calibrated."""

import json


def claim(name, agrees, basis="reported", words="In words."):
    return {
        "claim": name,
        "source": "0.90 +- 0.02",
        "ours": "1.129",
        "interval": "0.911 to 1.340",
        "null": "0.952",
        "agrees": agrees,
        "basis": basis,
        "words": f"{name}: {words}",
        "value": 1.129,
        "low": 0.911,
        "high": 1.34,
        "null_value": 0.952,
    }


ROWS = [
    claim("D before grokking (mean)", "no"),
    claim("D after grokking (mean)", "yes", "reported; calibrated, not evidence"),
    claim("steps to relax", "consistent", "stated"),
    claim("Gini transient: height", "not seen", "stated"),
    claim("power-law fit of one CCDF", "no fit", "stated"),
]
CLAIMS = json.dumps(ROWS)
