"""The compute under the layers."""
