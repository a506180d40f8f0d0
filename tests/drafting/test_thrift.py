from __future__ import annotations

from outrider.core.tree import Budget
from outrider.drafting.thrift import Thrift


def test_the_first_nodes_need_a_quarter_of_the_floor() -> None:
    thrift = Thrift.within(Budget(9, 9), floor=0.4, cheap=2)
    assert [thrift.allows(0.1, drafted) for drafted in range(4)] == [True, True, False, False]
    assert [thrift.allows(0.09, drafted) for drafted in range(4)] == [False] * 4
    assert [thrift.allows(0.4, drafted) for drafted in range(4)] == [True] * 4


def test_a_policys_bound_holds_for_all_nodes() -> None:
    thrift = Thrift.within(Budget(9, 9, min_survival=0.2), floor=0.4, cheap=2)
    assert [thrift.allows(0.3, drafted) for drafted in range(4)] == [True, True, False, False]
    assert not thrift.allows(0.19, 0)
    strict = Thrift.within(Budget(9, 9, min_survival=0.5), floor=0.4, cheap=2)
    assert not strict.allows(0.49, 0) and strict.allows(0.5, 5)
