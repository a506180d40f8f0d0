"""How much is drafted, by whom, and how much of it is verified.

    odds        what chance a drafted node has, learnt from what was verified
    pass_price  what a pass of the target over so many rows costs, measured and corrected
    members     what each of the drafters brought and cost when it was asked
    decision    the nodes whose verification brings the most tokens a second

Tokens never depend on any of it: the target alone says what is emitted. So a policy may read clocks and learn from
other sequences.
"""
