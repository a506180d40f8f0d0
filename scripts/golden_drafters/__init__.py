"""Records what published drafters compute, in tests/golden/drafters; run by scripts/golden-drafters."""
