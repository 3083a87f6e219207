"""Targets: registration, allowed addresses, states, draining.

The addresses below answer to nobody, so no check here waits for `healthy`.
"""

from harness import INVALID, MINUTE, SECOND, cases, check, equal, forward, one_of, refused

ADDRESS = "10.0.0.77"
BAD = INVALID + ("InvalidTarget",)


def register(w, group, *targets):
    w.elb.register_targets(TargetGroupArn=group, Targets=[dict(t) for t in targets])


def target(address=ADDRESS, port=8080, **over):
    return {"Id": address, "Port": port, **over}


def health(w, group, *targets):
    named = {"Targets": [dict(t) for t in targets]} if targets else {}
    got = w.elb.describe_target_health(TargetGroupArn=group, **named)["TargetHealthDescriptions"]
    return {(d["Target"]["Id"], d["Target"].get("Port")): d["TargetHealth"] for d in got}


def state(w, group):
    found = health(w, group).get((ADDRESS, 8080))
    return found and found["State"]


@check("elbv2.target.unused.state")
def unused(w):
    """aws.md 5 targets of a group that no rule uses: state unused, never healthy."""
    group = w.tg_arn()
    register(w, group, target())
    w.advance(5 * MINUTE)
    equal(state(w, group), "unused")


@check("elbv2.target.unused.reason")
def unused_reason(w):
    """aws.md 1.2 target states: unused with reason Target.NotInUse."""
    group = w.tg_arn()
    register(w, group, target())
    equal(health(w, group)[(ADDRESS, 8080)].get("Reason"), "Target.NotInUse")


@check("elbv2.target.not-registered")
def not_registered(w):
    """aws.md 1.2 target states: unused with reason Target.NotRegistered."""
    group = w.used_group()
    got = health(w, group, target())[(ADDRESS, 8080)]
    equal((got["State"], got.get("Reason")), ("unused", "Target.NotRegistered"))


@check("elbv2.target.initial")
def initial(w):
    """aws.md 1.2 target states: initial, right after registration in a used group."""
    group = w.used_group(HealthCheckIntervalSeconds=300, HealthCheckTimeoutSeconds=60)
    register(w, group, target())
    got = health(w, group)[(ADDRESS, 8080)]
    equal(got["State"], "initial")
    one_of(got.get("Reason"), ("Elb.RegistrationInProgress", "Elb.InitialHealthChecking"), "reason")


@check("elbv2.target.unhealthy")
def unhealthy(w):
    """aws.md 1.2 target states: unhealthy after the failed checks of its threshold."""
    group = w.used_group(HealthCheckIntervalSeconds=5, HealthCheckTimeoutSeconds=2)
    register(w, group, target())
    w.wait("state unhealthy", lambda: state(w, group) == "unhealthy", step=10 * SECOND, tries=60, pause=0.2)
    reason = health(w, group)[(ADDRESS, 8080)].get("Reason")
    one_of(reason, ("Target.Timeout", "Target.FailedHealthChecks", "Target.ResponseCodeMismatch"), "reason")


@check("elbv2.target.used-later")
def used_later(w):
    """aws.md 5 targets of a group that no rule uses: unused ends when a rule comes."""
    group = w.tg_arn(HealthCheckIntervalSeconds=300, HealthCheckTimeoutSeconds=60)
    register(w, group, target())
    equal(state(w, group), "unused")
    w.rule(w.listener_arn(), actions=[forward(group)])
    w.wait("a state other than unused", lambda: state(w, group) != "unused", step=5 * SECOND, tries=10)


@check("elbv2.target.unused-again")
def unused_again(w):
    """aws.md 1.2 target states: unused again when the last rule is gone."""
    group = w.tg_arn(HealthCheckIntervalSeconds=300, HealthCheckTimeoutSeconds=60)
    rule = w.rule_arn(w.listener_arn(), actions=[forward(group)])
    register(w, group, target())
    w.elb.delete_rule(RuleArn=rule)
    w.wait("state unused", lambda: state(w, group) == "unused", step=10 * SECOND, tries=12)


@check("elbv2.target.draining.state")
def draining(w):
    """aws.md 1.2 target states: draining after DeregisterTargets in a used group."""
    group = w.used_group(HealthCheckIntervalSeconds=300, HealthCheckTimeoutSeconds=60)
    register(w, group, target())
    w.settle()
    w.elb.deregister_targets(TargetGroupArn=group, Targets=[target()])
    got = health(w, group).get((ADDRESS, 8080), {})
    equal((got.get("State"), got.get("Reason")), ("draining", "Target.DeregistrationInProgress"))


@check("elbv2.target.draining.ends")
def draining_ends(w):
    """aws.md 1.2 attributes: draining ends after deregistration_delay, 300 s."""
    group = w.used_group(HealthCheckIntervalSeconds=300, HealthCheckTimeoutSeconds=60)
    register(w, group, target())
    w.settle()
    w.elb.deregister_targets(TargetGroupArn=group, Targets=[target()])
    w.advance(301 * SECOND)
    equal(state(w, group), None)


@check("elbv2.target.draining.own-delay")
def own_delay(w):
    """aws.md 1.2 attributes: a deregistration_delay of 10 s ends after 10 s."""
    group = w.used_group(HealthCheckIntervalSeconds=300, HealthCheckTimeoutSeconds=60)
    w.elb.modify_target_group_attributes(
        TargetGroupArn=group, Attributes=[{"Key": "deregistration_delay.timeout_seconds", "Value": "10"}]
    )
    register(w, group, target())
    w.settle()
    w.elb.deregister_targets(TargetGroupArn=group, Targets=[target()])
    w.advance(11 * SECOND)
    equal(state(w, group), None)


@check("elbv2.target.draining.registered-again")
def registered_again(w):
    """aws.md 1.2 target states: registering again ends the draining."""
    group = w.used_group(HealthCheckIntervalSeconds=300, HealthCheckTimeoutSeconds=60)
    register(w, group, target())
    w.settle()
    w.elb.deregister_targets(TargetGroupArn=group, Targets=[target()])
    register(w, group, target())
    w.settle()
    one_of(state(w, group), ("initial", "unhealthy", "healthy"), "state")


@check("elbv2.target.register.twice")
def register_twice(w):
    """aws.md 1.2 target group: the same address and port is one target."""
    group = w.tg_arn()
    register(w, group, target())
    register(w, group, target())
    equal(len(health(w, group)), 1, "targets")


@check("elbv2.target.register.two-ports")
def two_ports(w):
    """aws.md 1.2 target group: same IP on two ports = two targets."""
    group = w.tg_arn()
    register(w, group, target(port=8080), target(port=8081))
    equal(sorted(health(w, group)), [(ADDRESS, 8080), (ADDRESS, 8081)])


@check("elbv2.target.register.default-port")
def default_port(w):
    """aws.md 1.2 target group: without a port the group's port is used."""
    group = w.tg_arn(Port=9090)
    w.elb.register_targets(TargetGroupArn=group, Targets=[{"Id": ADDRESS}])
    equal(list(health(w, group)), [(ADDRESS, 9090)])


@check("elbv2.target.register.zone-found")
def zone_found(w):
    """aws.md 1.2 target group: the zone of an address in a subnet is known, or all."""
    group = w.tg_arn()
    register(w, group, target("10.0.1.9"))
    got = w.elb.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"][0]
    one_of(got["Target"].get("AvailabilityZone"), ("eu-central-1b", "all", None), "zone")


@check("elbv2.target.register.list")
def register_list(w):
    """aws.md 1.3 batch: RegisterTargets takes a list."""
    group = w.tg_arn()
    register(w, group, *[target(f"10.0.0.{n}") for n in range(10, 60)])
    equal(len(health(w, group)), 50, "targets")


@cases(
    "elbv2.target.address.refused",
    ("public", "8.8.8.8"),
    ("public-next-to-private", "172.32.0.1"),
    ("below-shared-space", "100.63.255.255"),
    ("above-shared-space", "100.128.0.1"),
    ("name", "app.example.com"),
    ("nonsense", "10.0.0.256"),
)
def address_refused(w, address):
    """aws.md 1.2 target group: VPC, RFC 1918 and 100.64/10, never public."""
    group = w.tg_arn()
    refused(BAD, w.elb.register_targets, TargetGroupArn=group, Targets=[target(address, AvailabilityZone="all")])
    equal(health(w, group), {})


@cases(
    "elbv2.target.address.outside-with-all",
    ("rfc1918-10", "10.99.0.1"),
    ("rfc1918-172", "172.31.255.254"),
    ("rfc1918-192", "192.168.1.1"),
    ("shared-space", "100.64.0.1"),
)
def outside_with_all(w, address):
    """aws.md 1.2 target group: outside the VPC needs AvailabilityZone=all."""
    group = w.tg_arn()
    register(w, group, target(address, AvailabilityZone="all"))
    equal(list(health(w, group)), [(address, 8080)])


@check("elbv2.target.address.outside-without-all")
def outside_without(w):
    """aws.md 1.2 target group: outside the VPC without AvailabilityZone=all is refused."""
    group = w.tg_arn()
    refused(BAD, w.elb.register_targets, TargetGroupArn=group, Targets=[target("192.168.1.1")])


@check("elbv2.target.address.one-bad-none-registered")
def one_bad(w):
    """aws.md 1.2 target group: a refused list registers nothing."""
    group = w.tg_arn()
    refused(
        BAD, w.elb.register_targets, TargetGroupArn=group, Targets=[target(), target("8.8.8.8", AvailabilityZone="all")]
    )
    equal(health(w, group), {})


@cases("elbv2.target.port.refused", ("0", 0), ("65536", 65536))
def port_refused(w, port):
    """aws.md 1.2 target group: ports are 1 to 65535 (service model)."""
    group = w.tg_arn()
    refused(BAD, w.raw.elb.register_targets, TargetGroupArn=group, Targets=[target(port=port)])


@check("elbv2.target.register.unknown-group")
def unknown_group(w):
    """aws.md 1.2 delete: a group that is gone is TargetGroupNotFound."""
    group = w.tg_arn()
    w.elb.delete_target_group(TargetGroupArn=group)
    w.settle()
    refused("TargetGroupNotFound", w.elb.register_targets, TargetGroupArn=group, Targets=[target()])


@check("elbv2.target.deregister.absent")
def deregister_absent(w):
    """aws.md 1.2 delete: DeregisterTargets of something absent succeeds."""
    group = w.tg_arn()
    w.elb.deregister_targets(TargetGroupArn=group, Targets=[target()])


@check("elbv2.target.deregister.unused-at-once")
def deregister_unused(w):
    """aws.md 1.2 target states: an unused target has no connections to drain."""
    group = w.tg_arn()
    register(w, group, target())
    w.elb.deregister_targets(TargetGroupArn=group, Targets=[target()])
    w.advance(301 * SECOND)
    equal(health(w, group), {})


@check("elbv2.target.deregister.one-port-only")
def deregister_one_port(w):
    """aws.md 1.2 target group: two ports are two targets, also on the way out."""
    group = w.tg_arn()
    register(w, group, target(port=8080), target(port=8081))
    w.elb.deregister_targets(TargetGroupArn=group, Targets=[target(port=8080)])
    w.advance(301 * SECOND)
    equal(list(health(w, group)), [(ADDRESS, 8081)])


@check("elbv2.target.health.one-asked")
def one_asked(w):
    """aws.md 1.2 target states: asked for one target, one is answered."""
    group = w.tg_arn()
    register(w, group, target("10.0.0.10"), target("10.0.0.11"))
    equal(list(health(w, group, target("10.0.0.11"))), [("10.0.0.11", 8080)])
