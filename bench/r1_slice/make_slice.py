"""Writes an R1 slice (shape.py) with random weights: a GGUF file, or for F8_E4M3 a Hugging Face folder.

    pip install gguf
    python3 make_slice.py slice-Q4_K.gguf --type Q4_K     # 2.3 GB
    python3 make_slice.py slice-F8 --type F8_E4M3         # 4 GB
"""
import argparse
import dataclasses
import json

import numpy as np

from gguf_file import write_gguf
from hugging_face_folder import write_folder
from random_blocks import FIELDS
from shape import Shape


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    parser.add_argument("--type", choices=sorted([*FIELDS, "F8_E4M3"]), default="Q4_K")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shape", type=json.loads, default={},
                        help='what differs from R1, e.g. \'{"n_routed_experts": 64}\'')
    arguments = parser.parse_args()
    shape = dataclasses.replace(Shape(), **arguments.shape)
    rng = np.random.default_rng(arguments.seed)
    if arguments.type == "F8_E4M3":
        write_folder(arguments.out, shape, rng)
    else:
        write_gguf(arguments.out, shape, arguments.type, rng)


if __name__ == "__main__":
    main()
