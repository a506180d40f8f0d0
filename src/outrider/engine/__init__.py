"""The loop: plan, launch, resolve."""
