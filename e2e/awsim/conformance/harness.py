"""What every check needs: a registry of checks, expectations, and the world.

A check is a function that takes a World and raises Failed (through the
helpers below) when the simulator does not behave as aws.md says. Its docstring
starts with the section of aws.md it is taken from.
"""

import itertools
import json
import time
import urllib.error
import urllib.request
from contextlib import contextmanager

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

REGION = "eu-central-1"
VPC = "vpc-0123456789abcdef0"
SUBNETS = ["subnet-0aaa", "subnet-0bbb"]
GROUP = "sg-0ccc"
ZONE = "example.com"
MINUTE = 60_000
SECOND = 1_000

THROTTLED = ("Throttling", "ThrottlingException", "ThrottledException")
INVALID = ("ValidationError", "InvalidConfigurationRequest")
BUSY = THROTTLED + ("PriorRequestNotComplete", "ResourceInUse", "ResourceInUseException", "HostedZoneNotEmpty")

# ---------------------------------------------------------------- registry

CHECKS = []


class Check:
    def __init__(self, name, section, run):
        self.name = name
        self.section = section
        self.run = run


def _add(name, doc, run):
    section = " ".join((doc or "").split())
    if not section.startswith("aws.md "):
        raise ValueError(f"{name}: the docstring must start with its section of aws.md")
    if any(known.name == name for known in CHECKS):
        raise ValueError(f"{name}: two checks have this name")
    CHECKS.append(Check(name, section, run))


def check(name):
    """Register one check."""

    def mark(function):
        _add(name, function.__doc__, function)
        return function

    return mark


def cases(prefix, *rows):
    """Register one check per row: (label, argument, ...)."""

    def mark(function):
        for label, *arguments in rows:
            _add(f"{prefix}.{label}", function.__doc__, lambda world, arguments=arguments: function(world, *arguments))
        return function

    return mark


# ------------------------------------------------------------ expectations


class Failed(Exception):
    def __init__(self, expected, got):
        super().__init__(f"expected {_short(expected)}, got {_short(got)}")


def _short(value):
    text = value if isinstance(value, str) else repr(value)
    text = " ".join(text.split())
    return text if len(text) <= 400 else text[:400] + "..."


def equal(got, expected, what=None):
    if got != expected:
        prefix = f"{what} " if what else ""
        raise Failed(f"{prefix}{expected!r}", repr(got))


def one_of(got, allowed, what):
    if got not in allowed:
        raise Failed(f"{what} one of {sorted(map(str, allowed))}", repr(got))


def true(condition, expected, got):
    if not condition:
        raise Failed(expected, got)


def contains(text, part, what="text"):
    if part not in (text or ""):
        raise Failed(f"{what} containing {part!r}", repr(text))


def error_text(error):
    """Everything the error answer says, the message lists too."""
    return json.dumps(error.response, default=str, ensure_ascii=False)


# Answers of calls that should have been refused: what they made must go too.
UNWANTED = []


def refused(codes, call, *arguments, message=None, status=None, **named):
    """The call must fail with one of these error codes."""
    allowed = (codes,) if isinstance(codes, str) else tuple(codes)
    wanted = " or ".join(allowed)
    try:
        answer = call(*arguments, **named)
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code")
        text = error_text(error)
        if code not in allowed:
            raise Failed(f"error {wanted}", f"{code}: {error.response['Error'].get('Message')}")
        if message is not None and message.lower() not in text.lower():
            raise Failed(f"{wanted} with a message containing {message!r}", text)
        got_status = error.response["ResponseMetadata"].get("HTTPStatusCode")
        if status is not None and got_status != status:
            raise Failed(f"{wanted} with HTTP {status}", f"HTTP {got_status}")
        return error
    answer.pop("ResponseMetadata", None)
    if call.__name__.startswith(("create", "request")):
        UNWANTED.append(answer)
    raise Failed(f"error {wanted}", f"success {answer!r}")


def fails(call, *arguments, **named):
    """The call must fail, in whatever way (used where a fault was placed)."""
    try:
        call(*arguments, **named)
    except (ClientError, BotoCoreError) as error:
        return error
    raise Failed("a failing call", "success")


def code_of(error):
    return (getattr(error, "response", None) or {}).get("Error", {}).get("Code")


# ----------------------------------------------------------------- control


class Control:
    """The control API of the simulator, below /_awsim/."""

    def __init__(self, endpoint):
        self.base = endpoint.rstrip("/") + "/_awsim/"

    def send(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.base + path, data=data, method=method, headers={"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def ok(self, method, path, body=None):
        status, text = self.send(method, path, body)
        if status // 100 != 2:
            raise Failed(f"2xx from {method} /_awsim/{path} {body or ''}", f"{status} {text}")
        return text

    def advance(self, milliseconds):
        self.ok("POST", "clock", {"advance_ms": milliseconds})

    def set_quota(self, name, value):
        self.ok("POST", "quotas", {name: value})

    def fault(self, action, kind, nth=1, count=1):
        self.ok("POST", "faults", {"action": action, "nth": nth, "kind": kind, "count": count})

    def clear_faults(self):
        self.ok("DELETE", "faults")

    def calls(self):
        lines = self.ok("GET", "calls").splitlines()
        return [json.loads(line) for line in lines if line.strip()]

    def clear_calls(self):
        self.ok("DELETE", "calls")


# ------------------------------------------------------------------- world


class Patient:
    """A client that lets simulated time pass when it is asked to slow down.

    Any call may meet the token buckets or a Route 53 zone that is still busy;
    neither is what most checks are about. Those that are use `world.plain`.
    """

    def __init__(self, client, control):
        self._client = client
        self._control = control

    def __getattr__(self, name):
        method = getattr(self._client, name)
        if not callable(method):
            return method

        def call(**arguments):
            for _ in range(8):
                try:
                    return method(**arguments)
                except ClientError as error:
                    if code_of(error) not in THROTTLED + ("PriorRequestNotComplete",):
                        raise
                    self._control.advance(30 * SECOND)
            return method(**arguments)

        call.__name__ = name
        return call


class PatientClients:
    """A patient client for each service, made when first used."""

    def __init__(self, clients, control):
        self._clients = clients
        self._control = control

    def __getattr__(self, name):
        return Patient(getattr(self._clients, name), self._control)


SERVICES = {"elb": "elbv2", "dns": "route53", "acm": "acm", "sts": "sts", "tagging": "resourcegroupstaggingapi"}


class Clients:
    """One boto3 client per service, made when first used."""

    def __init__(self, endpoint, validate=True, read_timeout=60):
        self._endpoint = endpoint
        self._config = Config(
            # "max_attempts" would count retries only, so 1 would still repeat a failed call.
            retries={"total_max_attempts": 1, "mode": "standard"},
            parameter_validation=validate,
            read_timeout=read_timeout,
            connect_timeout=5,
        )
        self._made = {}

    def __getattr__(self, name):
        if name not in SERVICES:
            raise AttributeError(name)
        if name not in self._made:
            self._made[name] = boto3.client(
                SERVICES[name],
                endpoint_url=self._endpoint,
                region_name=REGION,
                aws_access_key_id="AKIACONFORMANCE00000",
                aws_secret_access_key="conformance",
                config=self._config,
            )
        return self._made[name]


class Server:
    """One simulator: its clients are shared by all checks."""

    def __init__(self, endpoint, dns=None):
        self.endpoint = endpoint
        self.nameserver = dns
        self.control = Control(endpoint)
        self.plain = Clients(endpoint)
        self.raw = Clients(endpoint, validate=False)
        self.hasty = Clients(endpoint, read_timeout=2)
        self.numbers = itertools.count(1)
        # Two runs against one simulator must not meet each other's names.
        self.run = f"{int(time.time()) % 0xFFFFF:05x}"


class World:
    """What one check sees: clients, helpers, and a list of things to undo."""

    def __init__(self, server):
        self.server = server
        self.control = server.control
        self.plain = server.plain
        self.raw = PatientClients(server.raw, server.control)
        self.hasty = server.hasty
        self.elb = Patient(server.plain.elb, server.control)
        self.dns = Patient(server.plain.dns, server.control)
        self.acm = Patient(server.plain.acm, server.control)
        self.sts = Patient(server.plain.sts, server.control)
        self.tagging = Patient(server.plain.tagging, server.control)
        self._undo = []

    # -- plumbing

    def name(self, kind="x"):
        return f"{kind}-{self.server.run}-{next(self.server.numbers)}"

    def undo(self, call, *arguments, **named):
        self._undo.append((call, arguments, named))

    def adopt_unwanted(self):
        """What a call made that should have been refused is cleaned up like the rest."""
        while UNWANTED:
            answer = UNWANTED.pop()
            for made in answer.get("LoadBalancers", []):
                self.undo(self.elb.delete_load_balancer, LoadBalancerArn=made["LoadBalancerArn"])
            for made in answer.get("TargetGroups", []):
                self.undo(self.elb.delete_target_group, TargetGroupArn=made["TargetGroupArn"])
            for made in answer.get("Listeners", []):
                self.undo(self.elb.delete_listener, ListenerArn=made["ListenerArn"])
            if "HostedZone" in answer:
                self.undo(self.drop_zone, answer["HostedZone"]["Id"])
            if "CertificateArn" in answer:
                self.undo(self.acm.delete_certificate, CertificateArn=answer["CertificateArn"])

    def clean(self):
        """Undo in reverse order; say what could not be undone."""
        self.adopt_unwanted()
        left = []
        while self._undo:
            call, arguments, named = self._undo.pop()
            for attempt in range(6):
                try:
                    call(*arguments, **named)
                    break
                except ClientError as error:
                    code = code_of(error)
                    if code in BUSY and attempt < 5:
                        self.advance(30 * SECOND)
                        continue
                    if "NotFound" not in str(code) and "NoSuch" not in str(code):
                        left.append(f"{named or arguments}: {code}")
                    break
                except (BotoCoreError, Failed) as error:
                    left.append(str(error))
                    break
        return left

    def advance(self, milliseconds):
        self.control.advance(milliseconds)

    def settle(self):
        """Let eventual consistency and provisioning pass."""
        self.advance(2 * MINUTE)

    def wait(self, what, probe, step=MINUTE, tries=40, pause=0.0):
        """Advance the clock until the probe answers something true."""
        for _ in range(tries):
            value = probe()
            if value:
                return value
            self.advance(step)
            if pause:
                time.sleep(pause)
        raise Failed(f"{what} within {tries * step // SECOND} simulated seconds", "it did not come")

    def quota(self, name, value):
        """Set a quota for this check only."""
        before = self.quota_value(name)
        self.undo(self.control.set_quota, name, before)
        self.control.set_quota(name, value)

    def quota_value(self, name):
        if name in OTHER_QUOTAS:
            return OTHER_QUOTAS[name]
        for limit in self.elb.describe_account_limits()["Limits"]:
            if limit["Name"] == name:
                return int(limit["Max"])
        raise Failed(f"quota {name} in DescribeAccountLimits", "it is missing")

    # -- load balancing

    def lb(self, settle=True, **over):
        wanted = {"Name": self.name("lb"), "Subnets": SUBNETS, "SecurityGroups": [GROUP]}
        wanted.update(over)
        made = self.elb.create_load_balancer(**wanted)["LoadBalancers"][0]
        self.undo(self.elb.delete_load_balancer, LoadBalancerArn=made["LoadBalancerArn"])
        if settle:
            self.settle()
        return made

    def tg(self, **over):
        wanted = {"Name": self.name("tg"), "Protocol": "HTTP", "Port": 80, "VpcId": VPC, "TargetType": "ip"}
        wanted.update(over)
        made = self.elb.create_target_group(**wanted)["TargetGroups"][0]
        self.undo(self.elb.delete_target_group, TargetGroupArn=made["TargetGroupArn"])
        return made

    def tg_arn(self, **over):
        return self.tg(**over)["TargetGroupArn"]

    def listener(self, lb=None, **over):
        """An HTTP listener that answers 404, on a load balancer of its own."""
        lb_arn = lb or self.lb()["LoadBalancerArn"]
        wanted = {"LoadBalancerArn": lb_arn, "Protocol": "HTTP", "Port": 80, "DefaultActions": [fixed(404)]}
        wanted.update(over)
        made = self.elb.create_listener(**wanted)["Listeners"][0]
        self.undo(self.elb.delete_listener, ListenerArn=made["ListenerArn"])
        self.settle()
        return made

    def listener_arn(self, lb=None, **over):
        return self.listener(lb, **over)["ListenerArn"]

    def https(self, lb=None, **over):
        wanted = {"Protocol": "HTTPS", "Port": 443, "Certificates": [{"CertificateArn": self.wildcard()}]}
        wanted.update(over)
        return self.listener(lb, **wanted)

    def rule(self, listener_arn, priority=10, conditions=None, actions=None, **over):
        made = self.elb.create_rule(
            ListenerArn=listener_arn,
            Priority=priority,
            Conditions=conditions or [host("app.example.com")],
            Actions=actions or [fixed(200)],
            **over,
        )["Rules"][0]
        return made

    def rule_arn(self, listener_arn, priority=10, **over):
        return self.rule(listener_arn, priority, **over)["RuleArn"]

    def rules(self, listener_arn):
        return self.elb.describe_rules(ListenerArn=listener_arn)["Rules"]

    def used_group(self, **over):
        """A target group that a listener forwards to."""
        arn = self.tg_arn(**over)
        self.listener(DefaultActions=[forward(arn)])
        return arn

    # -- certificates

    def certificates(self, **over):
        found, token = [], None
        while True:
            page = self.acm.list_certificates(**over, **({"NextToken": token} if token else {}))
            found += page["CertificateSummaryList"]
            token = page.get("NextToken")
            if not token:
                return found

    def wildcard(self):
        """The certificate every simulator starts with."""
        for summary in self.certificates(CertificateStatuses=["ISSUED"]):
            if summary["DomainName"] in ("*.example.com", "example.com"):
                return summary["CertificateArn"]
        raise Failed("an ISSUED certificate for *.example.com", "none")

    def pending(self, domain=None, **over):
        domain = domain or f"{self.name('c')}.{ZONE}"
        over.setdefault("ValidationMethod", "DNS")
        arn = self.acm.request_certificate(DomainName=domain, **over)["CertificateArn"]
        self.undo(self.acm.delete_certificate, CertificateArn=arn)
        return arn

    def certificate(self, arn):
        return self.acm.describe_certificate(CertificateArn=arn)["Certificate"]

    def validations(self, arn):
        """The validation options, once every one of them has its record."""

        def ready():
            options = self.certificate(arn).get("DomainValidationOptions", [])
            complete = options and all("ResourceRecord" in option for option in options)
            return options if complete else None

        return self.wait("validation records", ready, step=5 * SECOND)

    def publish(self, arn):
        """Put the validation records of a certificate into the zone."""
        zone = self.example_zone()
        records = {}
        for option in self.validations(arn):
            record = option["ResourceRecord"]
            records[record["Name"]] = record
        sets = [
            {"Name": record["Name"], "Type": record["Type"], "TTL": 60, "ResourceRecords": [{"Value": record["Value"]}]}
            for record in records.values()
        ]
        self.change(zone, *[("UPSERT", item) for item in sets])
        for item in sets:
            self.undo(self.change, zone, ("DELETE", item))

    def issued(self, domain=None, **over):
        arn = self.pending(domain, **over)
        self.publish(arn)
        self.wait("status ISSUED", lambda: self.certificate(arn)["Status"] == "ISSUED")
        return arn

    # -- Route 53

    def example_zone(self):
        for zone in self.dns.list_hosted_zones()["HostedZones"]:
            if zone["Name"] == ZONE + "." and not zone["Config"]["PrivateZone"]:
                return zone["Id"]
        raise Failed("a hosted zone example.com.", "none")

    def zone_name(self):
        return f"{self.name('z')}.test"

    def zone(self, name=None, **over):
        made = self.dns.create_hosted_zone(Name=name or self.zone_name(), CallerReference=self.name("ref"), **over)[
            "HostedZone"
        ]
        self.undo(self.drop_zone, made["Id"])
        return made

    def drop_zone(self, zone_id):
        """Delete a zone with all that is in it."""
        while True:
            apex = self.dns.get_hosted_zone(Id=zone_id)["HostedZone"]["Name"]
            found = self.records(zone_id)
            mine = [r for r in found if not (r["Name"] == apex and r["Type"] in ("NS", "SOA"))]
            if not mine:
                break
            self.change(zone_id, *[("DELETE", record) for record in mine[:300]])
        self.dns.delete_hosted_zone(Id=zone_id)

    def records(self, zone_id, **over):
        return self.dns.list_resource_record_sets(HostedZoneId=zone_id, **over)["ResourceRecordSets"]

    def record_names(self, zone_id):
        return [(r["Name"], r["Type"]) for r in self.records(zone_id)]

    def change(self, zone_id, *changes):
        return self.dns.change_resource_record_sets(**batch(zone_id, *changes))["ChangeInfo"]


# Quotas outside DescribeAccountLimits, with the default of aws.md 2 and 3.
OTHER_QUOTAS = {
    "route53/MAX_RRSETS_BY_ZONE": 10_000,
    "route53/values-per-record": 400,
    "route53/hosted-zones": 500,
    "acm/certificates": 2_500,
    "acm/names-per-certificate": 10,
}


@contextmanager
def world(server):
    made = World(server)
    made.advance(20 * SECOND)  # full token buckets for every check
    try:
        yield made
    finally:
        for left in made.clean():
            print(f"note: not cleaned up: {_short(left)}", flush=True)


# ----------------------------------------------------------- small builders


def fixed(status=404, body=None, kind=None):
    config = {"StatusCode": str(status)}
    if body is not None:
        config["MessageBody"] = body
    if kind is not None:
        config["ContentType"] = kind
    return {"Type": "fixed-response", "FixedResponseConfig": config}


def redirect(**config):
    config.setdefault("StatusCode", "HTTP_301")
    return {"Type": "redirect", "RedirectConfig": config}


def forward(arn):
    return {"Type": "forward", "TargetGroupArn": arn}


def weighted(*pairs, sticky=None):
    config = {"TargetGroups": [{"TargetGroupArn": arn, "Weight": w} for arn, w in pairs]}
    if sticky is not None:
        config["TargetGroupStickinessConfig"] = sticky
    return {"Type": "forward", "ForwardConfig": config}


def host(*values):
    return {"Field": "host-header", "HostHeaderConfig": {"Values": list(values)}}


def host_regex(*values):
    return {"Field": "host-header", "HostHeaderConfig": {"RegexValues": list(values)}}


def path(*values):
    return {"Field": "path-pattern", "PathPatternConfig": {"Values": list(values)}}


def path_regex(*values):
    return {"Field": "path-pattern", "PathPatternConfig": {"RegexValues": list(values)}}


def method(*values):
    return {"Field": "http-request-method", "HttpRequestMethodConfig": {"Values": list(values)}}


def source(*values):
    return {"Field": "source-ip", "SourceIpConfig": {"Values": list(values)}}


def header(name, *values):
    return {"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": name, "Values": list(values)}}


def header_regex(name, *values):
    return {"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": name, "RegexValues": list(values)}}


def query(*pairs):
    values = [{"Key": key, "Value": value} for key, value in pairs]
    return {"Field": "query-string", "QueryStringConfig": {"Values": values}}


def tags(**pairs):
    return [{"Key": key, "Value": value} for key, value in pairs.items()]


def record(name, kind="A", *values, ttl=60):
    if not values:
        values = {"A": ("192.0.2.1",), "AAAA": ("2001:db8::1",), "TXT": ('"text"',), "CNAME": ("target.example.net",)}[
            kind
        ]
    return {"Name": name, "Type": kind, "TTL": ttl, "ResourceRecords": [{"Value": value} for value in values]}


def alias(name, lb, kind="A", health=False, **over):
    target = {"HostedZoneId": lb["CanonicalHostedZoneId"], "DNSName": lb["DNSName"], "EvaluateTargetHealth": health}
    target.update(over)
    return {"Name": name, "Type": kind, "AliasTarget": target}


def batch(zone_id, *changes):
    return {
        "HostedZoneId": zone_id,
        "ChangeBatch": {"Changes": [{"Action": action, "ResourceRecordSet": item} for action, item in changes]},
    }
