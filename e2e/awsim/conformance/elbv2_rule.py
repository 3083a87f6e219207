"""Rules: creation, priorities, the default rule, change, deletion, paging."""

from harness import INVALID, cases, check, equal, fixed, forward, host, path, refused, tags, true

REWRITE = {"Type": "url-rewrite", "UrlRewriteConfig": {"Rewrites": [{"Regex": "^/old/(.*)$", "Replace": "/new/$1"}]}}
HOST_REWRITE = {
    "Type": "host-header-rewrite",
    "HostHeaderRewriteConfig": {"Rewrites": [{"Regex": "^(.*)$", "Replace": "inner.$1"}]},
}


@check("elbv2.rule.create.shape")
def shape(w):
    """aws.md 1.2 priority: it comes back as a string; the rule is not the default one."""
    rule = w.rule(w.listener_arn(), 42)
    equal((rule["Priority"], rule["IsDefault"]), ("42", False))


@check("elbv2.rule.create.arn")
def arn(w):
    """aws.md 4 least privilege: listener-rule/app/NAME/ID/ID/ID, the name is inside."""
    listener = w.listener_arn()
    start = listener.replace(":listener/", ":listener-rule/") + "/"
    got = w.rule_arn(listener)
    true(got.startswith(start), start + "ID", got)


@check("elbv2.rule.create.described-at-once")
def described(w):
    """aws.md 5 rule batch: Describe* shows a rule before the data plane has it."""
    listener = w.listener_arn()
    rule = w.rule_arn(listener)
    true(rule in [r["RuleArn"] for r in w.rules(listener)], f"{rule} listed", w.rules(listener))


@check("elbv2.rule.create.tags")
def created_tags(w):
    """aws.md 4 AddTags at creation: a rule can be created with tags."""
    rule = w.rule_arn(w.listener_arn(), Tags=tags(owner="me"))
    got = w.elb.describe_tags(ResourceArns=[rule])["TagDescriptions"][0]["Tags"]
    equal(got, tags(owner="me"))


@check("elbv2.rule.create.not-idempotent")
def not_idempotent(w):
    """aws.md 1.2 idempotency: a retry of an equal CreateRule meets PriorityInUse."""
    listener = w.listener_arn()
    w.rule(listener, 10)
    refused(
        "PriorityInUse",
        w.elb.create_rule,
        ListenerArn=listener,
        Priority=10,
        Conditions=[host("app.example.com")],
        Actions=[fixed(200)],
    )


@check("elbv2.rule.create.same-conditions-other-priority")
def same_conditions(w):
    """aws.md 1.2 idempotency: CreateRule makes a second equal rule at a free priority."""
    listener = w.listener_arn()
    true(w.rule_arn(listener, 10) != w.rule_arn(listener, 11), "two rules", "one")


@check("elbv2.rule.priority-in-use")
def in_use(w):
    """aws.md 1.2 priority: unique per listener, PriorityInUse."""
    listener = w.listener_arn()
    w.rule(listener, 7)
    refused(
        "PriorityInUse",
        w.elb.create_rule,
        ListenerArn=listener,
        Priority=7,
        Conditions=[host("b.example.com")],
        Actions=[fixed(200)],
        status=400,
    )


@check("elbv2.rule.priority-per-listener")
def per_listener(w):
    """aws.md 1.2 priority: unique per listener, so two listeners may both have 7."""
    lb = w.lb()["LoadBalancerArn"]
    for port in (80, 81):
        equal(w.rule(w.listener_arn(lb, Port=port), 7)["Priority"], "7")


@check("elbv2.rule.priority-free-after-delete")
def free_after_delete(w):
    """aws.md 1.2 priority: a deleted rule gives its priority back."""
    listener = w.listener_arn()
    w.elb.delete_rule(RuleArn=w.rule_arn(listener, 7))
    w.settle()
    equal(w.rule(listener, 7)["Priority"], "7")


@cases("elbv2.rule.priority.refused", ("0", 0), ("50001", 50001), ("minus-1", -1))
def out_of_range(w, priority):
    """aws.md 1.2 priority: 1 to 50000."""
    listener = w.listener_arn()
    refused(
        "ValidationError",
        w.raw.elb.create_rule,
        ListenerArn=listener,
        Priority=priority,
        Conditions=[host("app.example.com")],
        Actions=[fixed(200)],
        status=400,
    )


@cases("elbv2.rule.priority.allowed", ("1", 1), ("50000", 50000))
def in_range(w, priority):
    """aws.md 1.2 priority: 1 to 50000."""
    equal(w.rule(w.listener_arn(), priority)["Priority"], str(priority))


@check("elbv2.rule.create.unknown-listener")
def unknown_listener(w):
    """aws.md 1.4 CreateListener then CreateRule: ListenerNotFound."""
    listener = w.listener_arn()
    w.elb.delete_listener(ListenerArn=listener)
    w.settle()
    refused(
        "ListenerNotFound",
        w.elb.create_rule,
        ListenerArn=listener,
        Priority=1,
        Conditions=[host("app.example.com")],
        Actions=[fixed(200)],
    )


@check("elbv2.rule.create.unknown-target-group")
def unknown_group(w):
    """aws.md 1.2 delete: a group that is gone is TargetGroupNotFound."""
    listener, group = w.listener_arn(), w.tg_arn()
    w.elb.delete_target_group(TargetGroupArn=group)
    w.settle()
    refused(
        "TargetGroupNotFound",
        w.elb.create_rule,
        ListenerArn=listener,
        Priority=1,
        Conditions=[host("app.example.com")],
        Actions=[forward(group)],
    )


@check("elbv2.rule.create.no-conditions")
def no_conditions(w):
    """aws.md 1.2 delete: only the default rule has no conditions."""
    listener = w.listener_arn()
    refused(INVALID, w.raw.elb.create_rule, ListenerArn=listener, Priority=1, Conditions=[], Actions=[fixed(200)])


@check("elbv2.rule.create.no-actions")
def no_actions(w):
    """aws.md 1.2 fixed-response: a rule needs an action."""
    listener = w.listener_arn()
    refused(
        INVALID + ("InvalidLoadBalancerAction",),
        w.raw.elb.create_rule,
        ListenerArn=listener,
        Priority=1,
        Conditions=[host("app.example.com")],
        Actions=[],
    )


# ------------------------------------------------------------ default rule


def default_rule(w):
    return w.rules(w.listener_arn())[0]["RuleArn"]


@check("elbv2.rule.default.delete")
def default_delete(w):
    """aws.md 1.2 delete: the default rule cannot be deleted, OperationNotPermitted."""
    refused("OperationNotPermitted", w.elb.delete_rule, RuleArn=default_rule(w))


@check("elbv2.rule.default.priority")
def default_priority(w):
    """aws.md 1.2 delete: no priority change of the default rule, OperationNotPermitted."""
    refused(
        "OperationNotPermitted", w.elb.set_rule_priorities, RulePriorities=[{"RuleArn": default_rule(w), "Priority": 5}]
    )


@check("elbv2.rule.default.conditions")
def default_conditions(w):
    """aws.md 1.2 delete: no conditions on the default rule."""
    refused(
        ("OperationNotPermitted", "ValidationError"),
        w.elb.modify_rule,
        RuleArn=default_rule(w),
        Conditions=[host("app.example.com")],
    )


@check("elbv2.rule.default.transforms")
def default_transforms(w):
    """aws.md 1.2 transforms: not on the default rule."""
    refused(
        ("OperationNotPermitted", "ValidationError"), w.elb.modify_rule, RuleArn=default_rule(w), Transforms=[REWRITE]
    )


@check("elbv2.rule.default.last")
def default_last(w):
    """aws.md 1.2 priority: low first, default last."""
    listener = w.listener_arn()
    for priority in (300, 20, 1000):
        w.rule(listener, priority)
    equal([r["Priority"] for r in w.rules(listener)], ["20", "300", "1000", "default"])


# ------------------------------------------------------------------ change


@check("elbv2.rule.modify.conditions-only")
def modify_conditions(w):
    """aws.md 1.2 ModifyRule: omitted fields stay; here the actions and the priority."""
    rule = w.rule(w.listener_arn(), 10, actions=[fixed(404)])
    got = w.elb.modify_rule(RuleArn=rule["RuleArn"], Conditions=[host("new.example.com")])["Rules"][0]
    equal(got["Actions"], rule["Actions"])
    equal(got["Priority"], "10")


@check("elbv2.rule.modify.actions-only")
def modify_actions(w):
    """aws.md 1.2 ModifyRule: omitted fields stay; here the conditions."""
    rule = w.rule(w.listener_arn())
    got = w.elb.modify_rule(RuleArn=rule["RuleArn"], Actions=[fixed(503)])["Rules"][0]
    equal(got["Conditions"], rule["Conditions"])
    equal(got["Actions"][0]["FixedResponseConfig"]["StatusCode"], "503")


@check("elbv2.rule.modify.list-replaced")
def modify_list(w):
    """aws.md 1.2 ModifyRule: lists are replaced whole."""
    rule = w.rule_arn(w.listener_arn(), conditions=[host("a.example.com"), path("/a")])
    got = w.elb.modify_rule(RuleArn=rule, Conditions=[host("b.example.com")])["Rules"][0]
    equal([c["Field"] for c in got["Conditions"]], ["host-header"])
    equal(got["Conditions"][0]["HostHeaderConfig"]["Values"], ["b.example.com"])


@check("elbv2.rule.modify.read-back")
def modify_read_back(w):
    """aws.md 5 rule batch: Describe* shows the change at once."""
    listener = w.listener_arn()
    rule = w.rule_arn(listener)
    w.elb.modify_rule(RuleArn=rule, Conditions=[host("b.example.com")])
    equal(w.rules(listener)[0]["Conditions"][0]["HostHeaderConfig"]["Values"], ["b.example.com"])


@check("elbv2.rule.modify.unknown")
def modify_unknown(w):
    """aws.md 1.2 delete: a rule that is gone is RuleNotFound."""
    rule = w.rule_arn(w.listener_arn())
    w.elb.delete_rule(RuleArn=rule)
    w.settle()
    refused("RuleNotFound", w.elb.modify_rule, RuleArn=rule, Actions=[fixed(200)])


@check("elbv2.rule.modify.bad-leaves-old")
def modify_bad(w):
    """aws.md 1.2 ModifyRule: a refused change changes nothing."""
    listener = w.listener_arn()
    rule = w.rule(listener)
    refused(
        INVALID + ("TooManyConditionValues",),
        w.elb.modify_rule,
        RuleArn=rule["RuleArn"],
        Conditions=[host(*[f"h{n}.example.com" for n in range(6)])],
    )
    equal(w.rules(listener)[0]["Conditions"], rule["Conditions"])


# -------------------------------------------------------------- transforms


@check("elbv2.rule.transform.url")
def transform_url(w):
    """aws.md 1.2 transforms: a url-rewrite comes back."""
    got = w.rule(w.listener_arn(), Transforms=[REWRITE])
    equal(got["Transforms"], [REWRITE])


@check("elbv2.rule.transform.both")
def transform_both(w):
    """aws.md 1.2 transforms: one of each kind on one rule."""
    got = w.rule(w.listener_arn(), Transforms=[REWRITE, HOST_REWRITE])
    equal(sorted(t["Type"] for t in got["Transforms"]), ["host-header-rewrite", "url-rewrite"])


@check("elbv2.rule.transform.two-of-a-kind")
def transform_twice(w):
    """aws.md 1.2 transforms: at most one url-rewrite."""
    listener = w.listener_arn()
    refused(
        INVALID,
        w.elb.create_rule,
        ListenerArn=listener,
        Priority=1,
        Conditions=[host("app.example.com")],
        Actions=[fixed(200)],
        Transforms=[REWRITE, REWRITE],
    )


@check("elbv2.rule.transform.regex-too-long")
def transform_long(w):
    """aws.md 1.2 transforms: regex up to 1,024 characters."""
    listener = w.listener_arn()
    long = {"Type": "url-rewrite", "UrlRewriteConfig": {"Rewrites": [{"Regex": "a" * 1025, "Replace": "b"}]}}
    refused(
        INVALID,
        w.elb.create_rule,
        ListenerArn=listener,
        Priority=1,
        Conditions=[host("app.example.com")],
        Actions=[fixed(200)],
        Transforms=[long],
    )


@check("elbv2.rule.transform.empty-keeps")
def transform_empty_keeps(w):
    """aws.md 1.2 ModifyRule: an empty Transforms means "keep"."""
    listener = w.listener_arn()
    rule = w.rule_arn(listener, Transforms=[REWRITE])
    w.elb.modify_rule(RuleArn=rule, Actions=[fixed(503)], Transforms=[])
    equal(w.rules(listener)[0].get("Transforms"), [REWRITE])


@check("elbv2.rule.transform.reset")
def transform_reset(w):
    """aws.md 1.2 ModifyRule: ResetTransforms=true clears."""
    listener = w.listener_arn()
    rule = w.rule_arn(listener, Transforms=[REWRITE])
    w.elb.modify_rule(RuleArn=rule, ResetTransforms=True)
    equal(w.rules(listener)[0].get("Transforms") or [], [])


@check("elbv2.rule.transform.reset-and-set")
def transform_both_ways(w):
    """aws.md 1.2 ModifyRule: Transforms and ResetTransforms exclude each other (service model)."""
    rule = w.rule_arn(w.listener_arn())
    refused(INVALID, w.elb.modify_rule, RuleArn=rule, Transforms=[REWRITE], ResetTransforms=True)


# ---------------------------------------------------------------- deletion


@check("elbv2.rule.delete.gone")
def delete_gone(w):
    """aws.md 1.2 delete: a deleted rule is no longer listed."""
    listener = w.listener_arn()
    w.elb.delete_rule(RuleArn=w.rule_arn(listener))
    equal([r["Priority"] for r in w.rules(listener)], ["default"])


@check("elbv2.rule.delete.twice")
def delete_twice(w):
    """aws.md 1.2 delete: DeleteRule is documented RuleNotFound."""
    rule = w.rule_arn(w.listener_arn())
    w.elb.delete_rule(RuleArn=rule)
    w.settle()
    refused("RuleNotFound", w.elb.delete_rule, RuleArn=rule)


# ---------------------------------------------------------------- describe


@check("elbv2.rule.describe.by-arn")
def by_arn(w):
    """aws.md 1.2 priority: rules can be described by their ARNs."""
    listener = w.listener_arn()
    mine = [w.rule_arn(listener, n) for n in (1, 2, 3)]
    got = w.elb.describe_rules(RuleArns=mine[:2])["Rules"]
    equal(sorted(r["RuleArn"] for r in got), sorted(mine[:2]))


@check("elbv2.rule.describe.unknown")
def describe_unknown(w):
    """aws.md 1.2 delete: an unknown rule is RuleNotFound."""
    rule = w.rule_arn(w.listener_arn())
    w.elb.delete_rule(RuleArn=rule)
    w.settle()
    refused("RuleNotFound", w.elb.describe_rules, RuleArns=[rule])


@check("elbv2.rule.describe.nothing-given")
def describe_nothing(w):
    """aws.md 1.2 priority: a listener or rules must be named (service model)."""
    refused("ValidationError", w.elb.describe_rules)


@check("elbv2.rule.paging")
def paging(w):
    """aws.md 1.1 PageSize: rules come in pages joined by Marker, in order."""
    listener = w.listener_arn()
    for priority in (1, 2, 3, 4):
        w.rule(listener, priority)
    seen, marker, sizes = [], None, []
    while True:
        page = w.elb.describe_rules(ListenerArn=listener, PageSize=2, **({"Marker": marker} if marker else {}))
        seen += [r["Priority"] for r in page["Rules"]]
        sizes.append(len(page["Rules"]))
        marker = page.get("NextMarker")
        if not marker:
            break
    equal(sorted(seen), ["1", "2", "3", "4", "default"])
    equal(sizes, [2, 2, 1], "page sizes")
