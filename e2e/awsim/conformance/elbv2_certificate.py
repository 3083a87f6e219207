"""Certificates of HTTPS listeners: the default one and the SNI list."""

from harness import INVALID, check, equal, fixed, refused, true

NO_CERTIFICATE = ("CertificateNotFound",)


def listed(w, listener):
    got = w.elb.describe_listener_certificates(ListenerArn=listener)["Certificates"]
    return sorted((c["CertificateArn"], bool(c.get("IsDefault"))) for c in got)


def sni(w, listener, arn):
    return w.elb.add_listener_certificates(ListenerArn=listener, Certificates=[{"CertificateArn": arn}])["Certificates"]


@check("elbv2.certificate.https-needs-one")
def needs_one(w):
    """aws.md 1.2 certificates: an HTTPS listener has a default certificate."""
    lb = w.lb()["LoadBalancerArn"]
    refused(
        INVALID + NO_CERTIFICATE,
        w.elb.create_listener,
        LoadBalancerArn=lb,
        Protocol="HTTPS",
        Port=443,
        DefaultActions=[fixed(404)],
    )


@check("elbv2.certificate.two-defaults")
def two_defaults(w):
    """aws.md 1.2 certificates: exactly one default, the others go to the SNI list."""
    lb = w.lb()["LoadBalancerArn"]
    other = w.issued()
    refused(
        INVALID + ("TooManyCertificates",),
        w.elb.create_listener,
        LoadBalancerArn=lb,
        Protocol="HTTPS",
        Port=443,
        DefaultActions=[fixed(404)],
        Certificates=[{"CertificateArn": w.wildcard()}, {"CertificateArn": other}],
    )


@check("elbv2.certificate.unknown")
def unknown(w):
    """aws.md 1.2 certificates: an unknown one is CertificateNotFound (service model)."""
    lb = w.lb()["LoadBalancerArn"]
    arn = w.wildcard().rsplit("/", 1)[0] + "/00000000-0000-0000-0000-000000000000"
    refused(
        "CertificateNotFound",
        w.elb.create_listener,
        LoadBalancerArn=lb,
        Protocol="HTTPS",
        Port=443,
        DefaultActions=[fixed(404)],
        Certificates=[{"CertificateArn": arn}],
    )


@check("elbv2.certificate.pending-refused")
def pending(w):
    """aws.md 1.2 certificates: only ISSUED certificates."""
    lb = w.lb()["LoadBalancerArn"]
    arn = w.pending()
    refused(
        INVALID + NO_CERTIFICATE + ("UnsupportedCertificate",),
        w.elb.create_listener,
        LoadBalancerArn=lb,
        Protocol="HTTPS",
        Port=443,
        DefaultActions=[fixed(404)],
        Certificates=[{"CertificateArn": arn}],
    )


@check("elbv2.certificate.pending-refused-in-list")
def pending_sni(w):
    """aws.md 1.2 certificates: only ISSUED certificates, in the SNI list too."""
    listener = w.https()["ListenerArn"]
    arn = w.pending()
    refused(
        INVALID + NO_CERTIFICATE + ("UnsupportedCertificate",),
        w.elb.add_listener_certificates,
        ListenerArn=listener,
        Certificates=[{"CertificateArn": arn}],
    )


@check("elbv2.certificate.http-has-none")
def http_has_none(w):
    """aws.md 1.2 certificates: an HTTP listener takes no certificate."""
    listener = w.listener_arn()
    refused(
        INVALID + ("UnsupportedProtocol", "OperationNotPermitted"),
        w.elb.add_listener_certificates,
        ListenerArn=listener,
        Certificates=[{"CertificateArn": w.wildcard()}],
    )


@check("elbv2.certificate.default-listed")
def default_listed(w):
    """aws.md 1.2 certificates: the list shows the default one, marked."""
    equal(listed(w, w.https()["ListenerArn"]), [(w.wildcard(), True)])


@check("elbv2.certificate.ssl-policy")
def ssl_policy(w):
    """aws.md 1.2 certificates: an HTTPS listener has an SSL policy."""
    true(w.https().get("SslPolicy"), "an SslPolicy", None)


@check("elbv2.certificate.add")
def add(w):
    """aws.md 1.2 certificates: default plus SNI list."""
    listener, extra = w.https()["ListenerArn"], w.issued()
    got = sni(w, listener, extra)
    true(extra in [c["CertificateArn"] for c in got], f"{extra} in the answer", got)
    equal(listed(w, listener), sorted([(w.wildcard(), True), (extra, False)]))


@check("elbv2.certificate.add-again")
def add_again(w):
    """aws.md 1.2 certificates: re-adding is a no-op."""
    listener, extra = w.https()["ListenerArn"], w.issued()
    sni(w, listener, extra)
    sni(w, listener, extra)
    equal(listed(w, listener), sorted([(w.wildcard(), True), (extra, False)]))


@check("elbv2.certificate.remove")
def remove(w):
    """aws.md 1.2 certificates: what was added to the list can be removed."""
    listener, extra = w.https()["ListenerArn"], w.issued()
    sni(w, listener, extra)
    w.elb.remove_listener_certificates(ListenerArn=listener, Certificates=[{"CertificateArn": extra}])
    equal(listed(w, listener), [(w.wildcard(), True)])


@check("elbv2.certificate.remove-default")
def remove_default(w):
    """aws.md 1.2 certificates: the default one cannot be removed, OperationNotPermitted."""
    listener = w.https()["ListenerArn"]
    refused(
        "OperationNotPermitted",
        w.elb.remove_listener_certificates,
        ListenerArn=listener,
        Certificates=[{"CertificateArn": w.wildcard()}],
    )


@check("elbv2.certificate.replace-default")
def replace_default(w):
    """aws.md 1.2 certificates: ModifyListener puts another default certificate."""
    listener, other = w.https()["ListenerArn"], w.issued()
    w.elb.modify_listener(ListenerArn=listener, Certificates=[{"CertificateArn": other}])
    true((other, True) in listed(w, listener), f"{other} as default", listed(w, listener))


@check("elbv2.certificate.too-many")
def too_many(w):
    """aws.md 1.1 certificates per ALB, default not counted: TooManyCertificates."""
    w.quota("certificates-per-application-load-balancer", 1)
    listener = w.https()["ListenerArn"]
    sni(w, listener, w.issued())
    refused(
        "TooManyCertificates",
        w.elb.add_listener_certificates,
        ListenerArn=listener,
        Certificates=[{"CertificateArn": w.issued()}],
    )


@check("elbv2.certificate.unknown-listener")
def unknown_listener(w):
    """aws.md 1.4 CreateListener then AddListenerCertificates: ListenerNotFound."""
    listener = w.https()["ListenerArn"]
    w.elb.delete_listener(ListenerArn=listener)
    w.settle()
    refused(
        "ListenerNotFound",
        w.elb.add_listener_certificates,
        ListenerArn=listener,
        Certificates=[{"CertificateArn": w.wildcard()}],
    )
