"""What others do on the same card at the sizes of sm90_kernels_bench: PyTorch (cuBLASLt), DeepGEMM, FlashMLA.

    python3 bench/gpu/peers.py [--seconds 60]

Needs PyTorch with CUDA. DeepGEMM (https://github.com/deepseek-ai/DeepGEMM) and FlashMLA are timed where they can be imported; a
peer that is missing or refuses a size is named in a line of its own. Weights rotate through more memory than the cache
holds, calls are replayed from a CUDA graph, and a line is the median of several replays, as in our own benchmarks.
"""
import argparse
import statistics
import sys
import time

ROTATION = 512 << 20  # bytes of weights to go through
CALLS = 20            # in one graph
REPLAYS = 7


def median_seconds(torch, call, copies):
    """Seconds of call(i), i rotating over `copies`, recorded CALLS times in one graph."""
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        for i in range(copies):
            call(i)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for i in range(CALLS):
            call(i % copies)
    times = []
    for _ in range(REPLAYS + 1):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        graph.replay()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end) / 1e3 / CALLS)
    return statistics.median(times[1:])


def copies_of(bytes_each):
    return max(1, min(CALLS, -(-ROTATION // bytes_each)))


def e4m3(torch, *shape):
    return torch.randn(*shape, device="cuda", dtype=torch.bfloat16).to(torch.float8_e4m3fn)


def torch_fp8(torch, n, k, m):
    """One scale for each tensor: less work than scales for blocks."""
    copies = copies_of(n * k)
    x, one = e4m3(torch, m, k), torch.ones((), device="cuda")
    weights = [e4m3(torch, n, k).t() for _ in range(copies)]
    return lambda i: torch._scaled_mm(x, weights[i], scale_a=one, scale_b=one, out_dtype=torch.bfloat16), copies


def torch_bf16(torch, n, k, m):
    copies = copies_of(2 * n * k)
    x = torch.randn(m, k, device="cuda", dtype=torch.bfloat16)
    weights = [torch.randn(n, k, device="cuda", dtype=torch.bfloat16).t() for _ in range(copies)]
    return lambda i: torch.mm(x, weights[i]), copies


def deep_gemm_fp8(torch, n, k, m):
    import deep_gemm
    copies = copies_of(n * k)
    x = e4m3(torch, m, k), torch.rand(m, k // 128, device="cuda")
    weights = [(e4m3(torch, n, k), torch.rand(-(-n // 128), k // 128, device="cuda")) for _ in range(copies)]
    out = torch.empty(m, n, device="cuda", dtype=torch.bfloat16)
    return lambda i: deep_gemm.fp8_gemm_nt(x, weights[i], out), copies


def deep_gemm_experts(torch, experts, n, k, rows):
    import deep_gemm
    copies, most = copies_of(experts * n * k), max(64, -(-rows // 64) * 64)
    x = e4m3(torch, experts, most, k), torch.rand(experts, most, k // 128, device="cuda")
    weights = [(e4m3(torch, experts, n, k), torch.rand(experts, n // 128, k // 128, device="cuda")) for _ in range(copies)]
    counts = torch.full((experts,), rows, device="cuda", dtype=torch.int32)
    out = torch.empty(experts, most, n, device="cuda", dtype=torch.bfloat16)
    return lambda i: deep_gemm.m_grouped_fp8_gemm_nt_masked(x, weights[i], out, counts, rows), copies


def flash_mla(torch, heads, batch, rows, context):
    from flash_mla import flash_mla_with_kvcache, get_mla_metadata
    pages = context // 64
    q = torch.randn(batch, rows, heads, 576, device="cuda", dtype=torch.bfloat16)
    cache = torch.randn(batch * pages, 64, 1, 576, device="cuda", dtype=torch.bfloat16)
    table = torch.arange(batch * pages, device="cuda", dtype=torch.int32).view(batch, pages)
    lengths = torch.full((batch,), context, device="cuda", dtype=torch.int32)
    metadata, splits = get_mla_metadata(lengths, rows * heads, 1)
    return lambda i: flash_mla_with_kvcache(q, cache, table, lengths, 512, metadata, splits, causal=True), 1


def cases():
    """(peer, name, bytes, flops, make) at the sizes of the marks."""
    for n, k in ((2112, 7168), (24576, 1536), (7168, 16384), (4096, 7168), (7168, 2048)):
        for m in (64, 128, 4096):
            fp8 = f"fp8 {n}x{k}, {m} rows", n * k + m * k + 2 * m * n, 2.0 * m * n * k
            yield "PyTorch, one scale", *fp8, lambda t, n=n, k=k, m=m: torch_fp8(t, n, k, m)
            yield "DeepGEMM", *fp8, lambda t, n=n, k=k, m=m: deep_gemm_fp8(t, n, k, m)
        yield ("PyTorch", f"bf16 {n}x{k}, 64 rows", 2 * n * k + 128 * k + 128 * n, 128.0 * n * k,
               lambda t, n=n, k=k: torch_bf16(t, n, k, 64))
    for rows in (16, 48):
        yield ("DeepGEMM", f"fp8 8 experts of 4096x7168, {rows} rows each", 8 * (4096 * 7168 + rows * (7168 + 2 * 4096)),
               16.0 * rows * 4096 * 7168, lambda t, rows=rows: deep_gemm_experts(t, 8, 4096, 7168, rows))
    for heads, batch, context in ((128, 64, 4096), (16, 128, 4096)):
        yield ("FlashMLA", f"mla {heads} heads, {batch} x 1 rows, context {context}",
               batch * (context * 1152 + heads * (1152 + 1024)), 2.0 * batch * context * heads * 1088,
               lambda t, heads=heads, batch=batch, context=context: flash_mla(t, heads, batch, 1, context))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60, help="no case starts after this many seconds")
    seconds = parser.parse_args().seconds
    try:
        import torch
    except ImportError:
        sys.exit("peers.py: no PyTorch here; `pip install torch` where the card is")
    if not torch.cuda.is_available():
        sys.exit("peers.py: PyTorch finds no CUDA card here")
    print(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}")
    begin, missing = time.monotonic(), {}
    for peer, name, size, flops, make in cases():
        if peer in missing:
            continue
        if time.monotonic() - begin > seconds:
            print(f"not timed from here on, {seconds:g} seconds are over: {name}")
            break
        try:
            call, copies = make(torch)
            took = median_seconds(torch, call, copies)
        except ImportError as error:
            missing[peer] = error
            print(f"{peer}: not here ({error})")
        except (AttributeError, RuntimeError, TypeError, ValueError) as error:  # a size or a version that it does not serve
            print(f"{peer:>20}  {name:<48} refused: {str(error).splitlines()[0]}")
        else:
            print(f"{peer:>20}  {name:<48} {took * 1e6:9.1f} us {size / took / 1e12:6.2f} TB/s {flops / took / 1e12:8.1f} TFLOPS")


if __name__ == "__main__":
    main()
