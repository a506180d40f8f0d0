"""`auto`: the drafters that look things up, together, set so that a policy may choose from what they say.

They draft far more than pays and leave it to the policy to drop what does not: it knows the price of a row, they do not.
"""

from __future__ import annotations

AUTO = "auto"
AUTO_MEMBERS = "suffix:max=64;floor=0.05;cheap=64+ngram_hash:floor=0.05"
