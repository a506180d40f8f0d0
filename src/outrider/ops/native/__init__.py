"""The native kernels of csrc/: `library` finds them, one module per subject gives its functions a typed face."""
