"""Reads an exported generator's arrays with NumPy, without JAX and gan_jax."""

import hashlib
import json
from pathlib import Path
import sys

from safetensors import numpy as safetensors

if __name__ == "__main__":
    path = Path(sys.argv[1])
    content = path.read_bytes()
    card = json.loads(Path(f"{path}.json").read_text())
    assert card["sha256"] == hashlib.sha256(content).hexdigest(), "it was changed"
    print(f"generator of step {card['step']}, {card['licence_of_the_data']}")
    for name, array in sorted(safetensors.load(content).items()):
        print(name, array.dtype, array.shape)
