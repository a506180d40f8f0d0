"""`Ops` for CUDA devices: Triton kernels where rows meet pages and packed weights, torch's libraries for the rest.

    plan       a step as the kernels read it: tiles of rows, slots, ancestors as bits        (host, no Triton)
    packed     matrices in 4 or 8 bits                                                       (torch, no Triton)
    kernels/   the Triton kernels, imported only where there is Triton
    ops        `CudaOps`, which launches them
    choose     the target's choices with keyed noise
    graphs     capture and replay of whole passes
"""
