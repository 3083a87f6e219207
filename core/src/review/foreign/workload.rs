//! Services, Ingresses, and what the AWS Load Balancer Controller adds to them.

use gatehouse_crds::{Refusable, keys};
use serde_json::Value;

use super::{Fault, quoted, texts};

/// A Service that is reached from outside by itself.
pub(super) fn service(object: &Value) -> Vec<Fault> {
    let spec = &object["spec"];
    let mut out = Vec::new();
    let class = spec["loadBalancerClass"].as_str().filter(|class| !class.is_empty());
    match spec["type"].as_str() {
        Some("LoadBalancer") => out.push(
            Fault::new(
                Refusable::ServiceLoadBalancer,
                "spec.type",
                "LoadBalancer publishes past the platform; use ClusterIP and an ExposedApp",
            )
            .with(class.map(str::to_owned)),
        ),
        other => {
            if other == Some("NodePort") {
                out.push(Fault::new(
                    Refusable::ServiceNodePort,
                    "spec.type",
                    "NodePort opens a port on every node; use ClusterIP and an ExposedApp",
                ));
            }
            // The API server refuses it on other types; a file may say it all the same.
            if let Some(class) = class {
                out.push(
                    Fault::new(
                        Refusable::ServiceLoadBalancer,
                        "spec.loadBalancerClass",
                        format!("{} asks for a load balancer; remove it", quoted(class)),
                    )
                    .with([class.to_owned()]),
                );
            }
        }
    }
    let addresses = texts(&spec["externalIPs"]);
    if let Some(first) = addresses.first() {
        let more = match addresses.len() {
            1 => String::new(),
            n => format!(" and {} more", n - 1),
        };
        out.push(
            Fault::new(
                Refusable::ServiceExternalIPs,
                "spec.externalIPs",
                format!("{}{more} takes over addresses; remove, use an ExposedApp", quoted(first)),
            )
            .with(addresses.iter().map(|&a| a.to_owned())),
        );
    }
    out
}

const LEGACY: &str = "kubernetes.io/ingress.class";

/// An Ingress that another controller serves. Both ways to name a class are looked at, because controllers differ in
/// which of them they prefer.
pub(super) fn ingress(object: &Value, default_class: Option<&str>) -> Vec<Fault> {
    let class = object["spec"]["ingressClassName"].as_str().filter(|class| !class.is_empty());
    let legacy = object["metadata"]["annotations"][LEGACY].as_str().filter(|class| !class.is_empty());
    let mut out = Vec::new();
    for (field, class) in
        [("spec.ingressClassName", class), ("metadata.annotations[kubernetes.io/ingress.class]", legacy)]
    {
        if let Some(class) = class.filter(|class| *class != keys::INGRESS_CLASS) {
            let cure = if field.starts_with("spec") {
                "is served past the platform; use an ExposedApp"
            } else {
                "is a foreign class"
            };
            out.push(
                Fault::new(Refusable::ForeignIngress, field, format!("{} {cure}", quoted(class)))
                    .with([class.to_owned()]),
            );
        }
    }
    if class.is_none() && legacy.is_none() && default_class != Some(keys::INGRESS_CLASS) {
        let message = match default_class {
            Some(class) => format!("is absent, so the default {} serves it; use an ExposedApp", quoted(class)),
            None => "is absent, so whoever takes it may serve it; use an ExposedApp".to_owned(),
        };
        out.push(
            Fault::new(Refusable::ForeignIngress, "spec.ingressClassName", message)
                .with([default_class.unwrap_or_default().to_owned()]),
        );
    }
    out
}

const DEFAULT: &str = "ingressclass.kubernetes.io/is-default-class";

/// Whether an IngressClass is marked as the cluster's default.
#[must_use]
pub(super) fn is_default(object: &Value) -> bool {
    object["metadata"]["annotations"][DEFAULT].as_str() == Some("true")
}

/// A default IngressClass makes every class-less Ingress its own.
pub(super) fn ingress_class(object: &Value) -> Vec<Fault> {
    if !is_default(object) || object["metadata"]["name"].as_str() == Some(keys::INGRESS_CLASS) {
        return Vec::new();
    }
    vec![Fault::new(
        Refusable::ForeignIngress,
        "metadata.annotations[ingressclass.kubernetes.io/is-default-class]",
        "is \"true\"; remove it",
    )]
}

/// Parameters of the classes of the AWS Load Balancer Controller: scheme, subnets and groups of its ALBs.
pub(super) fn ingress_class_params(object: &Value) -> Vec<Fault> {
    let fault = Fault::new(
        Refusable::ForeignIngress,
        "spec",
        "shapes load balancers past the platform; the platform team may write it",
    );
    vec![fault.with([object["spec"].to_string()])]
}

/// A binding puts pods behind any target group, also a stranger's.
pub(super) fn target_group_binding(object: &Value) -> Vec<Fault> {
    let spec = &object["spec"];
    let (field, group) = match spec["targetGroupARN"].as_str() {
        Some(arn) => ("spec.targetGroupARN", arn),
        None => ("spec.targetGroupName", spec["targetGroupName"].as_str().unwrap_or_default()),
    };
    let service = spec["serviceRef"].to_string();
    // The name at its end tells ARNs apart; the start is the same for all.
    let name = group.split("targetgroup/").last().unwrap_or_default();
    let message = format!("{} is a group not of the platform; use an ExposedApp", quoted(name));
    vec![Fault::new(Refusable::TargetGroupBinding, field, message).with([group.to_owned(), service])]
}
