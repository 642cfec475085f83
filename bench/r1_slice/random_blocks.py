"""Random weights in GGUF's block formats, made as blocks: quantising gigabytes of random numbers would take hours and
show nothing, since no kernel's time depends on the values. Nearly normal or uniform, with the deviation asked for.
"""
import gguf
import numpy as np

POOL_BLOCKS = 1 << 15

# type -> (offset of d, offset of dmin or None, range of signed bytes or None, offset and length of those bytes)
FIELDS = {
    "Q2_K": (80, 82, None, None),
    "Q3_K": (108, None, None, None),
    "Q4_K": (0, 2, None, None),
    "Q5_K": (0, 2, None, None),
    "Q6_K": (208, None, 24, (192, 16)),  # scales beyond this range do not occur in practice
    "Q8_0": (0, None, 127, (2, 32)),
}


class RandomBlocks:
    """A pool of random blocks of one type, from which tensors are drawn. Their d is 1 when `scaled` is not applied."""

    def __init__(self, type_name, rng):
        self.type = gguf.GGMLQuantizationType[type_name]
        self.block, self.bytes = gguf.GGML_QUANT_SIZES[self.type]
        self.d, self.dmin, limit, signed = FIELDS[type_name]
        self.rng = rng
        self.pool = rng.integers(0, 256, (POOL_BLOCKS, self.bytes), dtype=np.uint8)
        if signed is not None:
            begin, count = signed
            values = np.clip(np.rint(rng.normal(0, limit / 4, (POOL_BLOCKS, count))), -limit, limit).astype(np.int8)
            self.pool[:, begin:begin + count] = values.view(np.uint8)
        # Minima are scaled so that the values' mean is zero.
        self.dmin_ratio = 0.0
        if self.dmin is not None:
            self.dmin_ratio = self._values(1, 0).mean() / -self._values(0, 1).mean()
        self.deviation = self._values(1, self.dmin_ratio).std()

    def _values(self, d, dmin):
        return gguf.quants.dequantize(self._with_scales(self.pool[:2048], d, dmin).reshape(-1), self.type)

    def _with_scales(self, blocks, d, dmin):
        blocks = blocks.copy()
        blocks[:, self.d:self.d + 2] = np.full((len(blocks), 1), d, np.float16).view(np.uint8)
        if self.dmin is not None:
            blocks[:, self.dmin:self.dmin + 2] = np.full((len(blocks), 1), dmin, np.float16).view(np.uint8)
        return blocks

    def tensor(self, shape, deviation):
        """Bytes of a tensor [..., row bytes] whose values have this standard deviation and mean zero."""
        d = deviation / self.deviation
        pool = self._with_scales(self.pool, d, d * self.dmin_ratio)
        blocks = int(np.prod(shape)) // self.block
        out = np.empty((blocks, self.bytes), np.uint8)
        for begin in range(0, blocks, POOL_BLOCKS):  # a piece at a time: no second copy of a large tensor
            count = min(POOL_BLOCKS, blocks - begin)
            np.take(pool, self.rng.integers(0, POOL_BLOCKS, count), axis=0, out=out[begin:begin + count])
        return out.reshape(*shape[:-1], shape[-1] // self.block * self.bytes)
