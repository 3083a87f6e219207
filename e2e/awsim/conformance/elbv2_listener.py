"""Listeners: ports, protocols, default rule, creation twice, change, deletion."""

from harness import INVALID, cases, check, equal, fixed, forward, redirect, refused, true, weighted


@check("elbv2.listener.create.shape")
def shape(w):
    """aws.md 1.2 listener: it comes back as asked, under its load balancer's ARN."""
    lb = w.lb()["LoadBalancerArn"]
    got = w.listener(lb, Port=8080)
    equal((got["Port"], got["Protocol"], got["LoadBalancerArn"]), (8080, "HTTP", lb))


@check("elbv2.listener.create.arn")
def arn(w):
    """aws.md 4 least privilege: listener/app/NAME/ID/ID, the name is inside."""
    lb = w.lb()
    start = lb["LoadBalancerArn"].replace(":loadbalancer/", ":listener/") + "/"
    got = w.listener_arn(lb["LoadBalancerArn"])
    true(got.startswith(start), start + "ID", got)


@check("elbv2.listener.create.default-rule")
def default_rule(w):
    """aws.md 1.2 priority: a listener has a default rule, priority "default"."""
    rules = w.rules(w.listener_arn())
    equal([(r["Priority"], r["IsDefault"], r["Conditions"]) for r in rules], [("default", True, [])])


@check("elbv2.listener.create.default-rule-action")
def default_rule_action(w):
    """aws.md 1.2 fixed-response: the default rule has the listener's default action."""
    rule = w.rules(w.listener_arn(DefaultActions=[fixed(404, "nobody", "text/plain")]))[0]
    equal(rule["Actions"][0]["FixedResponseConfig"]["MessageBody"], "nobody")


@check("elbv2.listener.create.forward-default")
def forward_default(w):
    """aws.md 1.2 echo: a single forward shows TargetGroupArn and ForwardConfig."""
    group = w.tg_arn()
    action = w.listener(DefaultActions=[forward(group)])["DefaultActions"][0]
    equal(action["TargetGroupArn"], group)
    equal(action["ForwardConfig"]["TargetGroups"], [{"TargetGroupArn": group, "Weight": 1}])


@check("elbv2.listener.create.idempotent")
def idempotent(w):
    """aws.md 1.2 idempotency: the same settings return the existing listener."""
    lb = w.lb()["LoadBalancerArn"]
    equal(w.listener_arn(lb), w.listener_arn(lb))


@check("elbv2.listener.create.duplicate-action")
def duplicate_action(w):
    """aws.md 1.2 idempotency: the same port with another action is DuplicateListener."""
    lb = w.lb()["LoadBalancerArn"]
    w.listener(lb)
    refused(
        "DuplicateListener",
        w.elb.create_listener,
        LoadBalancerArn=lb,
        Protocol="HTTP",
        Port=80,
        DefaultActions=[fixed(503)],
    )


@check("elbv2.listener.create.duplicate-protocol")
def duplicate_protocol(w):
    """aws.md 1.2 idempotency: the same port with another protocol is DuplicateListener."""
    lb = w.lb()["LoadBalancerArn"]
    w.listener(lb)
    refused(
        "DuplicateListener",
        w.elb.create_listener,
        LoadBalancerArn=lb,
        Protocol="HTTPS",
        Port=80,
        DefaultActions=[fixed(404)],
        Certificates=[{"CertificateArn": w.wildcard()}],
    )


@cases("elbv2.listener.create.port", ("0", 0), ("65536", 65536))
def bad_port(w, port):
    """aws.md 1.2 listener: ports are 1 to 65535 (service model)."""
    lb = w.lb()["LoadBalancerArn"]
    refused(
        "ValidationError",
        w.raw.elb.create_listener,
        LoadBalancerArn=lb,
        Protocol="HTTP",
        Port=port,
        DefaultActions=[fixed(404)],
    )


@cases("elbv2.listener.create.protocol", ("tcp", "TCP"), ("udp", "UDP"), ("nonsense", "GOPHER"))
def bad_protocol(w, protocol):
    """aws.md 5 fixed at creation: an ALB listens on HTTP and HTTPS only."""
    lb = w.lb()["LoadBalancerArn"]
    refused(
        INVALID + ("UnsupportedProtocol",),
        w.elb.create_listener,
        LoadBalancerArn=lb,
        Protocol=protocol,
        Port=80,
        DefaultActions=[fixed(404)],
    )


@check("elbv2.listener.create.unknown-load-balancer")
def unknown_lb(w):
    """aws.md 1.4 eventual consistency: no load balancer, LoadBalancerNotFound."""
    lb = w.lb()["LoadBalancerArn"]
    w.elb.delete_load_balancer(LoadBalancerArn=lb)
    w.settle()
    refused(
        "LoadBalancerNotFound",
        w.elb.create_listener,
        LoadBalancerArn=lb,
        Protocol="HTTP",
        Port=80,
        DefaultActions=[fixed(404)],
    )


@check("elbv2.listener.create.unknown-target-group")
def unknown_tg(w):
    """aws.md 1.2 delete: a group that is gone is TargetGroupNotFound."""
    lb = w.lb()["LoadBalancerArn"]
    group = w.tg_arn()
    w.elb.delete_target_group(TargetGroupArn=group)
    w.settle()
    refused(
        "TargetGroupNotFound",
        w.elb.create_listener,
        LoadBalancerArn=lb,
        Protocol="HTTP",
        Port=80,
        DefaultActions=[forward(group)],
    )


@check("elbv2.listener.create.no-action")
def no_action(w):
    """aws.md 1.2 fixed-response: a listener needs a default action."""
    lb = w.lb()["LoadBalancerArn"]
    refused(
        INVALID + ("InvalidLoadBalancerAction",),
        w.raw.elb.create_listener,
        LoadBalancerArn=lb,
        Protocol="HTTP",
        Port=80,
        DefaultActions=[],
    )


@check("elbv2.listener.describe.by-load-balancer")
def by_lb(w):
    """aws.md 1.2 listener: a load balancer lists its listeners, and only those."""
    lb = w.lb()["LoadBalancerArn"]
    mine = sorted(w.listener_arn(lb, Port=port) for port in (80, 81, 82))
    w.listener()
    got = w.elb.describe_listeners(LoadBalancerArn=lb)["Listeners"]
    equal(sorted(x["ListenerArn"] for x in got), mine)


@check("elbv2.listener.describe.nothing-given")
def describe_nothing(w):
    """aws.md 1.2 listener: a load balancer or listeners must be named (service model)."""
    refused("ValidationError", w.elb.describe_listeners)


@check("elbv2.listener.paging")
def paging(w):
    """aws.md 1.1 PageSize: listeners come in pages joined by Marker."""
    lb = w.lb()["LoadBalancerArn"]
    mine = sorted(w.listener_arn(lb, Port=port) for port in (80, 81, 82))
    first = w.elb.describe_listeners(LoadBalancerArn=lb, PageSize=2)
    rest = w.elb.describe_listeners(LoadBalancerArn=lb, PageSize=2, Marker=first["NextMarker"])
    equal((len(first["Listeners"]), len(rest["Listeners"])), (2, 1))
    equal(sorted(x["ListenerArn"] for x in first["Listeners"] + rest["Listeners"]), mine)
    true(not rest.get("NextMarker"), "no further NextMarker", rest.get("NextMarker"))


@check("elbv2.listener.modify.port")
def modify_port(w):
    """aws.md 1.2 ModifyRule: what a Modify call leaves out stays."""
    listener = w.listener_arn()
    got = w.elb.modify_listener(ListenerArn=listener, Port=8081)["Listeners"][0]
    equal((got["Port"], got["Protocol"], got["DefaultActions"][0]["Type"]), (8081, "HTTP", "fixed-response"))


@check("elbv2.listener.modify.port-taken")
def modify_port_taken(w):
    """aws.md 1.2 idempotency: changing to a port in use is DuplicateListener."""
    lb = w.lb()["LoadBalancerArn"]
    w.listener(lb)
    other = w.listener_arn(lb, Port=81)
    refused("DuplicateListener", w.elb.modify_listener, ListenerArn=other, Port=80)


@check("elbv2.listener.modify.default-action")
def modify_action(w):
    """aws.md 1.2 ModifyRule: the new default action is the default rule's action."""
    listener = w.listener_arn()
    w.elb.modify_listener(ListenerArn=listener, DefaultActions=[fixed(503)])
    w.settle()
    equal(w.rules(listener)[0]["Actions"][0]["FixedResponseConfig"]["StatusCode"], "503")


@check("elbv2.listener.modify.unknown")
def modify_unknown(w):
    """aws.md 1.4 eventual consistency: no listener, ListenerNotFound."""
    listener = w.listener_arn()
    w.elb.delete_listener(ListenerArn=listener)
    w.settle()
    refused("ListenerNotFound", w.elb.modify_listener, ListenerArn=listener, Port=81)


@check("elbv2.listener.delete.with-rules")
def delete_rules(w):
    """aws.md 1.2 delete: deleting a listener deletes its rules."""
    listener = w.listener_arn()
    rule = w.rule_arn(listener)
    w.elb.delete_listener(ListenerArn=listener)
    w.settle()
    refused("RuleNotFound", w.elb.describe_rules, RuleArns=[rule])


@check("elbv2.listener.delete.frees-target-group")
def delete_frees(w):
    """aws.md 1.4 DeleteListener then DeleteTargetGroup: ResourceInUse passes in 20 s."""
    group = w.tg_arn()
    listener = w.listener_arn(DefaultActions=[forward(group)])
    w.elb.delete_listener(ListenerArn=listener)
    w.settle()
    w.elb.delete_target_group(TargetGroupArn=group)


@check("elbv2.listener.delete.twice")
def delete_twice(w):
    """aws.md 1.2 delete: a listener that is gone is ListenerNotFound (service model)."""
    listener = w.listener_arn()
    w.elb.delete_listener(ListenerArn=listener)
    w.settle()
    refused("ListenerNotFound", w.elb.delete_listener, ListenerArn=listener)


@check("elbv2.listener.redirect-to-https")
def to_https(w):
    """aws.md 1.2 listener: the usual redirect listener; unset parts stay as they came."""
    got = w.listener(DefaultActions=[redirect(Protocol="HTTPS", Port="443", StatusCode="HTTP_301")])["DefaultActions"][
        0
    ]["RedirectConfig"]
    kept = {"Host": "#{host}", "Path": "/#{path}", "Query": "#{query}"}
    asked = {"Protocol": "HTTPS", "Port": "443", "StatusCode": "HTTP_301"}
    equal({**kept, **got}, {**kept, **asked})


@check("elbv2.listener.weighted-default")
def weighted_default(w):
    """aws.md 1.2 weighted: a default action can split over two groups."""
    one, two = w.tg_arn(), w.tg_arn()
    action = w.listener(DefaultActions=[weighted((one, 9), (two, 1))])["DefaultActions"][0]
    got = {g["TargetGroupArn"]: g["Weight"] for g in action["ForwardConfig"]["TargetGroups"]}
    equal(got, {one: 9, two: 1})
    true("TargetGroupArn" not in action, "no single TargetGroupArn", action)
