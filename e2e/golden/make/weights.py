"""The golden models' weights: drawn from their name and shape, so that a test can draw them again (e2e/tools/golden.ts holds the same rule)."""
import numpy as np

def uniform(seed, count):
    """count values in [0, 1); the generator of e2e/tools/tiny.ts."""
    x = (np.uint64(seed) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B9)) & np.uint64(0xFFFFFFFF)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        x = ((x ^ (x >> np.uint64(shift))) * np.uint64(factor)) & np.uint64(0xFFFFFFFF)
    return (x ^ (x >> np.uint64(16))).astype(np.float64) / 2**32

def bfloat(values):
    """Rounded to the nearest bfloat16, ties to even, as float32."""
    bits = values.astype(np.float32).view(np.uint32)
    return ((bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) & np.uint32(0xFFFF0000)).view(np.float32)

def draw(name, shape):
    """The weights of a Hugging Face tensor: mean 0 or 1, nearly normal, exact in bfloat16. Norms and taps are far from 1 and 0, so that a missing one shows."""
    seed = 0x811C9DC5
    for byte in name.encode(): seed = ((seed ^ byte) * 0x01000193) & 0xFFFFFFFF
    count = int(np.prod(shape))
    u = uniform(seed, 4 * count).reshape(count, 4)
    noise = ((u[:, 0] + u[:, 1] + u[:, 2] + u[:, 3]) - 2) * np.sqrt(3.0)
    if "q_layernorm" in name or "k_layernorm" in name: values = 1.25 * (1 + 0.35 * noise)
    elif "norm" in name: values = 1 + 0.35 * noise
    elif "conv.conv" in name: values = 0.6 * noise
    elif "embed_tokens" in name: values = (1.44 / np.sqrt(float(shape[-1]))) * noise
    else: values = (1.1 / np.sqrt(float(shape[-1]))) * noise
    return bfloat(values).reshape(shape)
