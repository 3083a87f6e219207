"""The control API: health, clock, state, quotas, call log, faults."""

import json

from harness import (
    THROTTLED,
    VPC,
    batch,
    cases,
    check,
    code_of,
    contains,
    equal,
    fails,
    fixed,
    host,
    record,
    refused,
    true,
)


def watched(w):
    """Faults and log of this check only."""
    w.control.clear_faults()
    w.control.clear_calls()
    w.undo(w.control.clear_faults)


def groups(w, name):
    try:
        return w.elb.describe_target_groups(Names=[name])["TargetGroups"]
    except w.plain.elb.exceptions.TargetGroupNotFoundException:
        return []


def create_group(client, name):
    return client.create_target_group(Name=name, Protocol="HTTP", Port=80, VpcId=VPC, TargetType="ip")


def keep_tidy(w, name):
    """Delete the group of this name in the end, if it came to be."""

    def drop():
        for group in groups(w, name):
            w.elb.delete_target_group(TargetGroupArn=group["TargetGroupArn"])

    w.undo(drop)


# ------------------------------------------------------------------- basics


@check("control.health")
def health(w):
    """aws.md 0.6 strict fake: GET health answers."""
    w.control.ok("GET", "health")


@check("control.state")
def state(w):
    """aws.md 0.6 strict fake: GET state shows what exists, as JSON."""
    name = w.name("tg")
    w.tg(Name=name)
    text = w.control.ok("GET", "state")
    json.loads(text)
    contains(text, name, "state")


@check("control.clock")
def clock(w):
    """aws.md 2 propagation: the clock moves on when told to."""
    zone = w.zone()
    change = w.change(zone["Id"], ("CREATE", record("a." + zone["Name"])))
    w.control.advance(3600_000)
    later = w.change(zone["Id"], ("CREATE", record("b." + zone["Name"])))
    seconds = (later["SubmittedAt"] - change["SubmittedAt"]).total_seconds()
    true(3600 <= seconds < 3660, "an hour between two changes", f"{seconds} s")


@check("control.clock.bad-body")
def clock_bad(w):
    """aws.md 0.6 strict fake: a body that says nothing is refused."""
    status, _ = w.control.send("POST", "clock", {"advance": "much"})
    true(400 <= status < 500, "4xx", status)


@check("control.quota.unknown")
def quota_unknown(w):
    """aws.md 1.1 quotas: a quota that does not exist is refused."""
    status, text = w.control.send("POST", "quotas", {"no-such-quota": 1})
    true(400 <= status < 500, "4xx", f"{status} {text}")


@check("control.unknown-path")
def unknown_path(w):
    """aws.md 0.6 strict fake: an unknown control path is 404."""
    equal(w.control.send("GET", "nothing")[0], 404)


@check("control.fault.unknown-kind")
def unknown_kind(w):
    """aws.md 0.6 strict fake: a fault of no known kind is refused."""
    watched(w)
    status, text = w.control.send("POST", "faults", {"action": "CreateRule", "nth": 1, "kind": "sulk", "count": 1})
    true(400 <= status < 500, "4xx", f"{status} {text}")


# ----------------------------------------------------------------- call log


def logged(w, action):
    return [line for line in w.control.calls() if line.get("action") == action]


@check("control.calls.logged")
def calls_logged(w):
    """aws.md 1.3 throttling: every call counts, so every call is logged, by its action."""
    watched(w)
    w.elb.describe_account_limits()
    equal(len(logged(w, "DescribeAccountLimits")), 1, "log lines")


@check("control.calls.cleared")
def calls_cleared(w):
    """aws.md 1.3 throttling: DELETE calls starts the log anew."""
    w.elb.describe_account_limits()
    w.control.clear_calls()
    equal(w.control.calls(), [])


@check("control.calls.order")
def calls_order(w):
    """aws.md 1.2 SetRulePriorities, LBC order: the log keeps the order of the calls."""
    watched(w)
    w.elb.describe_account_limits()
    w.sts.get_caller_identity()
    w.acm.list_certificates()
    w.dns.list_hosted_zones()
    w.tagging.get_resources()
    wanted = ["DescribeAccountLimits", "GetCallerIdentity", "ListCertificates", "ListHostedZones", "GetResources"]
    equal([line.get("action") for line in w.control.calls()], wanted)


@check("control.calls.parameters")
def calls_parameters(w):
    """aws.md 1.3 throttling: a log line shows what was asked."""
    watched(w)
    name = w.name("tg")
    w.tg(Name=name)
    contains(json.dumps(logged(w, "CreateTargetGroup")), name, "log line")


@check("control.calls.error")
def calls_error(w):
    """aws.md 1.3 throttling: a refused call is logged with its error code."""
    watched(w)
    refused("TargetGroupNotFound", w.plain.elb.describe_target_groups, Names=[w.name("tg")])
    contains(json.dumps(logged(w, "DescribeTargetGroups")), "TargetGroupNotFound", "log line")


@check("control.calls.control-not-logged")
def calls_control(w):
    """aws.md 1.3 throttling: the control API's own requests are no AWS calls."""
    watched(w)
    w.control.ok("GET", "health")
    w.control.ok("GET", "state")
    equal(w.control.calls(), [])


# --------------------------------------------------------------- throttling


@cases(
    "control.fault.throttle",
    ("elbv2", "DescribeAccountLimits", lambda w: w.plain.elb.describe_account_limits()),
    ("route53", "ListHostedZones", lambda w: w.plain.dns.list_hosted_zones()),
    ("acm", "ListCertificates", lambda w: w.plain.acm.list_certificates()),
    ("tagging", "GetResources", lambda w: w.plain.tagging.get_resources()),
)
def throttle(w, action, call):
    """aws.md 1.3 and 2: Throttling or ThrottlingException, "Rate exceeded", HTTP 400."""
    watched(w)
    w.control.fault(action, "throttle")
    refused(THROTTLED, call, w, message="Rate exceeded", status=400)
    call(w)


@check("control.fault.throttle.counted")
def throttle_count(w):
    """aws.md 1.3 throttling: a count of 3 throttles three calls, not the fourth."""
    watched(w)
    w.control.fault("DescribeAccountLimits", "throttle", count=3)
    for _ in range(3):
        refused(THROTTLED, w.plain.elb.describe_account_limits)
    w.plain.elb.describe_account_limits()


@check("control.fault.throttle.only-that-action")
def throttle_only(w):
    """aws.md 1.3 throttling: other actions go on."""
    watched(w)
    w.control.fault("DescribeAccountLimits", "throttle")
    w.plain.elb.describe_load_balancers()
    refused(THROTTLED, w.plain.elb.describe_account_limits)


@check("control.fault.throttle.no-effect")
def throttle_no_effect(w):
    """aws.md 1.3 throttling: a throttled call does nothing."""
    watched(w)
    name = w.name("tg")
    keep_tidy(w, name)
    w.control.fault("CreateTargetGroup", "throttle")
    refused(THROTTLED, create_group, w.plain.elb, name)
    equal(groups(w, name), [])


@check("control.fault.nth")
def nth(w):
    """aws.md 1.3 throttling: nth 2 means the second call from now."""
    watched(w)
    w.control.fault("DescribeAccountLimits", "throttle", nth=2)
    w.plain.elb.describe_account_limits()
    refused(THROTTLED, w.plain.elb.describe_account_limits)
    w.plain.elb.describe_account_limits()


@check("control.fault.cleared")
def cleared(w):
    """aws.md 1.3 throttling: DELETE faults takes the placed faults away."""
    watched(w)
    w.control.fault("DescribeAccountLimits", "throttle")
    w.control.clear_faults()
    w.plain.elb.describe_account_limits()


# ------------------------------------------------- before, after, late, lost


@check("control.fault.before.no-effect")
def before(w):
    """aws.md 1.2 unknown outcome: a failure before the effect; nothing was made."""
    watched(w)
    name = w.name("tg")
    keep_tidy(w, name)
    w.control.fault("CreateTargetGroup", "before")
    fails(create_group, w.plain.elb, name)
    equal(groups(w, name), [])


@check("control.fault.before.then-works")
def before_then(w):
    """aws.md 1.2 unknown outcome: the retry after a failure before the effect works."""
    watched(w)
    name = w.name("tg")
    keep_tidy(w, name)
    w.control.fault("CreateTargetGroup", "before")
    fails(create_group, w.plain.elb, name)
    create_group(w.plain.elb, name)
    equal(len(groups(w, name)), 1)


@check("control.fault.after.effect")
def after(w):
    """aws.md 1.2 unknown outcome: a failure after the effect; the group is there."""
    watched(w)
    name = w.name("tg")
    keep_tidy(w, name)
    w.control.fault("CreateTargetGroup", "after")
    fails(create_group, w.plain.elb, name)
    equal(len(groups(w, name)), 1)


@check("control.fault.after.create-rule")
def after_rule(w):
    """aws.md 1.2 idempotency: after an unknown outcome a retry of CreateRule meets PriorityInUse."""
    listener = w.listener_arn()
    watched(w)
    asked = {"ListenerArn": listener, "Priority": 5, "Conditions": [host("app.example.com")], "Actions": [fixed(200)]}
    w.control.fault("CreateRule", "after")
    fails(w.plain.elb.create_rule, **asked)
    refused("PriorityInUse", w.plain.elb.create_rule, **asked)


@check("control.fault.after.route53")
def after_route53(w):
    """aws.md 2 batch: an unknown outcome of a change can be read back."""
    zone = w.zone()
    w.settle()
    watched(w)
    w.control.fault("ChangeResourceRecordSets", "after")
    fails(w.plain.dns.change_resource_record_sets, **batch(zone["Id"], ("CREATE", record("a." + zone["Name"]))))
    true(("a." + zone["Name"], "A") in w.record_names(zone["Id"]), "the record", w.record_names(zone["Id"]))


@check("control.fault.late")
def late(w):
    """aws.md 1.2 unknown outcome: the caller sees a failure, the effect comes in the end."""
    watched(w)
    name = w.name("tg")
    keep_tidy(w, name)
    w.control.fault("CreateTargetGroup", "late")
    fails(create_group, w.hasty.elb, name)
    w.wait("the late group", lambda: groups(w, name), step=10_000, tries=12, pause=0.05)


@check("control.fault.timeout")
def timeout(w):
    """aws.md 1.2 unknown outcome: no answer within the client's patience."""
    watched(w)
    w.control.fault("DescribeAccountLimits", "timeout")
    error = fails(w.hasty.elb.describe_account_limits)
    equal(code_of(error), None, "error code")
    w.plain.elb.describe_account_limits()


@cases(
    "control.fault.deny",
    ("elbv2", "DescribeAccountLimits", lambda w: w.plain.elb.describe_account_limits()),
    ("route53", "ListHostedZones", lambda w: w.plain.dns.list_hosted_zones()),
    ("acm", "ListCertificates", lambda w: w.plain.acm.list_certificates()),
)
def deny(w, action, call):
    """aws.md 4 least privilege: a denied call is AccessDenied or AccessDeniedException, HTTP 403
    (400 on the JSON wire)."""
    watched(w)
    w.control.fault(action, "deny")
    error = refused(("AccessDenied", "AccessDeniedException"), call, w)
    true(
        error.response["ResponseMetadata"]["HTTPStatusCode"] in (400, 403),
        "HTTP 403 (or 400)",
        error.response["ResponseMetadata"]["HTTPStatusCode"],
    )
    contains(error.response["Error"]["Message"], action, "message")
