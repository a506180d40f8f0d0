"""Triton kernels, one file a subject. Importing them needs Triton; `TRITON_INTERPRET=1` runs them on CPU tensors."""
