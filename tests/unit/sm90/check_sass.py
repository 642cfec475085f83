"""Reads the machine code of the Hopper kernels out of compiled objects: what no source can promise.

    check_sass.py OBJECT...

Each hot kernel must hold the matrix and copy instructions meant, and nothing may live in local memory (no spills, no stack). Objects are
compiled with uncompressed device code. Opcodes: the low 12 bits of sm_90's 128-bit instructions, as cuobjdump of CUDA 13 names them.
"""

import re
import struct
import sys

OPCODES = {0x9F0: "HGMMA", 0xDF0: "HGMMA_REGISTERS", 0x9F3: "QGMMA", 0xDF3: "QGMMA_REGISTERS",
           0x5B4: "UTMALDG", 0x3BA: "UBLKCP", 0x387: "STL", 0x983: "LDL"}
MACHINE_CUDA = 190
# Part of a kernel's mangled name -> what it must hold, and how many instances there are.
HOT = {
    r"10GemmKernelINS1_10E4M3Format": ({"QGMMA", "UTMALDG"}, 5),
    r"10GemmKernelINS1_10BF16Format": ({"HGMMA", "UTMALDG"}, 5),
    r"10GemmKernelI.*Int4E4M3Format": ({"QGMMA_REGISTERS", "UTMALDG", "UBLKCP"}, 5),
    r"10GemmKernelI.*Int4Format": ({"HGMMA_REGISTERS", "UTMALDG", "UBLKCP"}, 5),
    r"9MlaKernel": ({"HGMMA", "UTMALDG"}, 3),
    r"13PrefillKernel": ({"HGMMA", "HGMMA_REGISTERS", "UTMALDG"}, 1),
    r"12MlaFp8Kernel": ({"HGMMA", "QGMMA", "QGMMA_REGISTERS", "UTMALDG", "UBLKCP"}, 3),
}


def device_images(data):
    """Every CUDA ELF image in the bytes of a file."""
    at = data.find(b"\x7fELF")
    while at >= 0:
        if struct.unpack_from("<H", data, at + 18)[0] == MACHINE_CUDA:
            yield data[at:]
        at = data.find(b"\x7fELF", at + 4)


def kernels(image):
    """(mangled name, set of the OPCODES in it) of each kernel of an image."""
    table, = struct.unpack_from("<Q", image, 40)
    size, count, names_index = struct.unpack_from("<HHH", image, 58)
    sections = [struct.unpack_from("<IIQQQQ", image, table + i * size) for i in range(count)]
    names = sections[names_index][4]
    for name, _, _, _, offset, length in sections:
        text = image[names + name:image.index(b"\0", names + name)].decode()
        if text.startswith(".text."):
            words = struct.iter_unpack("<QQ", image[offset:offset + length // 16 * 16])
            yield text[len(".text."):], {OPCODES[low & 0xFFF] for low, _ in words if low & 0xFFF in OPCODES}


def main(paths):
    found, wrong = {}, []
    for path in paths:
        with open(path, "rb") as file:
            for image in device_images(file.read()):
                found.update(kernels(image))
    for name, holds in found.items():
        if holds & {"STL", "LDL"}:
            wrong.append(f"{name}: uses local memory")
    for pattern, (meant, count) in HOT.items():
        instances = {name: holds for name, holds in found.items() if re.search(pattern, name)}
        if len(instances) != count:
            wrong.append(f"{pattern}: {len(instances)} instances, {count} meant")
        for name, holds in instances.items():
            if meant - holds:
                wrong.append(f"{name}: holds no {', '.join(sorted(meant - holds))}")
    print("\n".join(wrong) or f"{len(found)} kernels, all as meant")
    return 1 if wrong or not found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
