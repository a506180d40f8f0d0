"""`auto`: the drafters that look things up, together, set so that a policy may choose from what they say.

They draft far more than pays. The policy, which knows the price of a row as they do not, drops what does not pay.
"""

from __future__ import annotations

AUTO = "auto"
AUTO_MEMBERS = "suffix:max=64;floor=0.05;cheap=64+ngram_hash:floor=0.05"
