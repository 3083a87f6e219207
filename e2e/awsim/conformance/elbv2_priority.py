"""SetRulePriorities: any permutation in one call, all or nothing."""

from harness import cases, check, equal, refused


def prepared(w, *priorities):
    """A listener with a rule per priority; gives back {priority: rule ARN}."""
    listener = w.listener_arn()
    return listener, {p: w.rule_arn(listener, p) for p in priorities}


def order(w, listener):
    rules = [r for r in w.rules(listener) if not r["IsDefault"]]
    return {r["RuleArn"]: r["Priority"] for r in rules}


def moves(*pairs):
    return [{"RuleArn": arn, "Priority": priority} for arn, priority in pairs]


@cases(
    "elbv2.priority.permutation",
    ("swap", {1: 2, 2: 1}),
    ("rotate", {1: 2, 2: 3, 3: 1}),
    ("shift-up", {1: 2, 2: 3, 3: 4}),
    ("shift-down", {3: 2, 2: 1, 1: 5}),
    ("reverse", {1: 4, 2: 3, 3: 2, 4: 1}),
    ("park-from-the-end", {1: 50000, 2: 49999}),
    ("into-a-vacated-place", {1: 9, 2: 1}),
    ("onto-itself", {1: 1, 2: 3, 3: 2}),
)
def permutation(w, change):
    """aws.md 0.5: any permutation in one call, if the resulting order has no conflict."""
    listener, rules = prepared(w, 1, 2, 3, 4)
    if 4 not in change and 4 in change.values():
        w.elb.delete_rule(RuleArn=rules.pop(4))
    w.elb.set_rule_priorities(RulePriorities=moves(*[(rules[a], b) for a, b in change.items()]))
    equal(order(w, listener), {arn: str(change.get(p, p)) for p, arn in rules.items()})


@check("elbv2.priority.answer")
def answer(w):
    """aws.md 1.2 priority: the answer has the rules with their new priority, as strings."""
    _, rules = prepared(w, 1, 2)
    got = w.elb.set_rule_priorities(RulePriorities=moves((rules[1], 2), (rules[2], 1)))["Rules"]
    equal({r["RuleArn"]: r["Priority"] for r in got}, {rules[1]: "2", rules[2]: "1"})


@check("elbv2.priority.others-keep-theirs")
def others_keep(w):
    """aws.md 1.2 SetRulePriorities: rules not named keep theirs."""
    listener, rules = prepared(w, 1, 2, 3)
    w.elb.set_rule_priorities(RulePriorities=moves((rules[1], 10)))
    equal(order(w, listener), {rules[1]: "10", rules[2]: "2", rules[3]: "3"})


@check("elbv2.priority.listed-in-new-order")
def listed(w):
    """aws.md 1.2 priority: low first, also after a change of order."""
    listener, rules = prepared(w, 1, 2, 3)
    w.elb.set_rule_priorities(RulePriorities=moves((rules[1], 30)))
    equal([r["Priority"] for r in w.rules(listener)], ["2", "3", "30", "default"])


@check("elbv2.priority.conflict-with-a-named-rule")
def conflict_named(w):
    """aws.md 0.5: two rules may not end at one priority."""
    listener, rules = prepared(w, 1, 2)
    before = order(w, listener)
    refused(
        ("PriorityInUse", "ValidationError"),
        w.elb.set_rule_priorities,
        RulePriorities=moves((rules[1], 5), (rules[2], 5)),
    )
    equal(order(w, listener), before)


@check("elbv2.priority.conflict-with-another-rule")
def conflict_other(w):
    """aws.md 0.5: a place taken by a rule that is not moved is PriorityInUse."""
    _, rules = prepared(w, 1, 2)
    refused("PriorityInUse", w.elb.set_rule_priorities, RulePriorities=moves((rules[1], 2)))


@check("elbv2.priority.atomic.conflict")
def atomic_conflict(w):
    """aws.md 1.2 SetRulePriorities: atomic; a conflict moves no rule at all."""
    listener, rules = prepared(w, 1, 2, 3)
    before = order(w, listener)
    refused("PriorityInUse", w.elb.set_rule_priorities, RulePriorities=moves((rules[1], 10), (rules[2], 3)))
    equal(order(w, listener), before)


@check("elbv2.priority.atomic.unknown-rule")
def atomic_unknown(w):
    """aws.md 1.2 SetRulePriorities: atomic; an unknown rule moves no other."""
    listener, rules = prepared(w, 1, 2)
    gone = rules.pop(2)
    w.elb.delete_rule(RuleArn=gone)
    w.settle()
    before = order(w, listener)
    refused("RuleNotFound", w.elb.set_rule_priorities, RulePriorities=moves((rules[1], 10), (gone, 11)))
    equal(order(w, listener), before)


@check("elbv2.priority.atomic.default-rule")
def atomic_default(w):
    """aws.md 1.2 delete: the default rule has no priority to set; nothing moves."""
    listener, rules = prepared(w, 1)
    default = next(r["RuleArn"] for r in w.rules(listener) if r["IsDefault"])
    before = order(w, listener)
    refused("OperationNotPermitted", w.elb.set_rule_priorities, RulePriorities=moves((rules[1], 10), (default, 11)))
    equal(order(w, listener), before)


@cases("elbv2.priority.set.refused", ("0", 0), ("50001", 50001))
def out_of_range(w, priority):
    """aws.md 1.2 priority: 1 to 50000, in SetRulePriorities too."""
    _, rules = prepared(w, 1)
    refused("ValidationError", w.raw.elb.set_rule_priorities, RulePriorities=moves((rules[1], priority)))


@check("elbv2.priority.same-rule-twice")
def same_rule_twice(w):
    """aws.md 1.2 SetRulePriorities: one rule cannot have two priorities; nothing moves."""
    listener, rules = prepared(w, 1, 2)
    before = order(w, listener)
    refused(
        ("ValidationError", "PriorityInUse", "InvalidConfigurationRequest"),
        w.elb.set_rule_priorities,
        RulePriorities=moves((rules[1], 10), (rules[1], 11)),
    )
    equal(order(w, listener), before)
