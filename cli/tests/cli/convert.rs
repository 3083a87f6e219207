//! Ingresses to apps: what is printed, and what passes on to `check`.

use crate::{feed, run};

/// An Ingress as charts write it.
const CHART: &str = "\
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: shop
  namespace: team-a
  labels: {team: a}
  annotations:
    nginx.ingress.kubernetes.io/proxy-read-timeout: '120'
    nginx.ingress.kubernetes.io/whitelist-source-range: 203.0.113.0/24
    nginx.ingress.kubernetes.io/server-alias: www.example.com
    cert-manager.io/cluster-issuer: acme
spec:
  ingressClassName: nginx
  tls: [{hosts: [shop.example.com], secretName: shop-tls}]
  rules:
  - host: shop.example.com
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: web, port: {name: http}}}}
      - {path: /api, pathType: ImplementationSpecific, backend: {service: {name: api, port: {number: 8080}}}}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: team-a}
spec: {selector: {app: web}, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: api, namespace: team-a}
spec: {selector: {app: api}, ports: [{port: 8080}]}
";

#[test]
fn an_ingress_of_a_chart() {
    insta::assert_snapshot!(feed(&["convert", "-f", "-"], CHART).to_string());
}

/// What is printed is what `check` takes.
#[test]
fn the_result_is_admitted() {
    let printed = feed(&["convert", "-f", "-"], CHART).stdout;
    let policy = "---\napiVersion: gatehouse.dev/v1alpha1\nkind: ExposurePolicy\nmetadata: {name: a}\nspec: {namespaces: {names: [team-a]}, grants: [{hosts: [shop.example.com]}], loadBalancers: [public]}\n";
    let services = &CHART[CHART.find("---").unwrap()..];
    let checked = feed(&["check", "-f", "config/samples/platform.yaml", "-f", "-"], &(printed + policy + services));
    assert_eq!(checked.code, 0, "{checked}");
}

#[test]
fn what_cannot_be_an_app_is_told() {
    let pattern = CHART
        .replace("path: /api,", "path: /api(/|$)(.*),")
        .replace("spec: {selector: {app: web}, ports: [{name: http, port: 80}]}", "spec: {}");
    insta::assert_snapshot!(feed(&["convert", "-f", "-"], &pattern).to_string());
}

#[test]
fn without_an_ingress_there_is_nothing_to_do() {
    let services = &CHART[CHART.find("---").unwrap()..];
    let ran = feed(&["convert", "-f", "-"], services);
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""));
    assert!(ran.stderr.contains("no Ingress of networking.k8s.io/v1"), "{ran}");
    assert_eq!(run(&["convert", "-f", "no/such/file.yaml"]).code, 2);
}
